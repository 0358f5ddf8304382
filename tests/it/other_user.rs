//! Children of the tests under another user: root is told more and limited less than those whom the program is for.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// Names the file that a child is about; a test that finds none was not started as a child.
const FILE: &str = "RESIDENT_TEST_CHILD_FILE";
/// Nobody, on all systems that know one.
const UID: u32 = 65534;

/// The file that this child is about.
pub fn file() -> Option<PathBuf> {
    std::env::var_os(FILE).map(PathBuf::from)
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory that the other user can reach: beside the build where that is possible, since /tmp may be RAM.
pub fn directory() -> TempDir {
    let beside = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target"));
    let open = |path: &Path| fs::metadata(path).is_ok_and(|found| found.mode() & 0o001 != 0);
    let directory = if !is_root() || beside.ancestors().all(open) {
        tempfile::tempdir_in(beside)
    } else {
        tempfile::tempdir()
    };
    let directory = directory.unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    directory
}

/// Starts the ignored test `name` of this binary as another user if we are root, else as ourselves.
pub fn start(name: &str, file: &Path) -> Child {
    let own = std::env::current_exe().unwrap();
    match spawn(&own, name, file) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        child => return child.unwrap(),
    }
    // The build lies where the other user cannot go. The copy is open once it runs, so its name may go.
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let copy = directory.path().join("it");
    fs::copy(own, &copy).unwrap();
    spawn(&copy, name, file).unwrap()
}

fn spawn(binary: &Path, name: &str, file: &Path) -> std::io::Result<Child> {
    let mut command = Command::new(binary);
    command.args(["--exact", name, "--ignored", "--nocapture"]).env(FILE, file);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if is_root() {
        command.uid(UID).gid(UID);
    }
    command.spawn()
}

/// Runs such a test to its end, which must be a good one.
pub fn run(name: &str, file: &Path) {
    let Output { status, stdout, stderr } = start(name, file).wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && stdout.contains("1 passed"), "{status}\n{stdout}\n{stderr}");
}
