//! What is packed: the crate and the Debian package have all that they must and nothing that they must not.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn cargo(args: &[&str]) -> String {
    let ran = Command::new(env!("CARGO")).args(args).arg("--offline").current_dir(ROOT).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

fn manifest() -> Value {
    let all: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    all["packages"][0].clone()
}

/// From where, and where to.
fn assets(manifest: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = manifest["metadata"]["deb"]["assets"].as_array().unwrap();
    list.iter().map(|asset| (text(&asset[0]), text(&asset[1]))).collect()
}

#[test]
fn the_crate_has_sources_licences_and_papers_and_no_pictures_or_hidden_files() {
    let list = cargo(&["package", "--list", "--allow-dirty"]);
    let files: Vec<&str> = list.lines().collect();
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "CHANGELOG.md", "config.yaml", "src/main.rs"] {
        assert!(files.contains(&file), "{file}");
    }
    for file in files {
        let is_made = [".cargo_vcs_info.json"].contains(&file);
        let ends = [".gif", ".png", ".svg", ".snap.new"];
        let is_hidden = file.split('/').any(|part| part.starts_with('.'));
        assert!(is_made || !is_hidden && !ends.iter().any(|end| file.ends_with(end)), "{file}");
        let size = std::fs::metadata(Path::new(ROOT).join(file)).map_or(0, |file| file.len());
        assert!(size < 256 << 10, "{file} has {size} bytes");
    }
}

#[test]
fn the_debian_package_has_the_binary_its_papers_and_what_it_writes_itself() {
    let manifest = manifest();
    let script = std::fs::read_to_string(Path::new(ROOT).join("assets/deb.sh")).unwrap();
    let assets = assets(&manifest);
    for (from, to) in &assets {
        if let Some(made) = from.strip_prefix("target/deb/") {
            let name = made.trim_end_matches("/*.1");
            assert!(script.contains(&format!("\"$made/{name}\"")), "assets/deb.sh does not make {from}");
        } else if from != "target/release/resident" {
            let (dir, name) = from.rsplit_once('/').unwrap_or(("", from));
            let dir = std::fs::read_dir(Path::new(ROOT).join(dir)).unwrap();
            let end = name.strip_prefix('*');
            let mut names = dir.map(|file| file.unwrap().file_name().into_string().unwrap());
            assert!(names.any(|file| file == name || end.is_some_and(|end| file.ends_with(end))), "{from}");
        }
        assert!(to.starts_with("usr/"), "{to}");
    }
    for to in ["usr/bin/", "usr/share/man/man1/", "usr/share/resident/schema/"] {
        assert!(assets.iter().any(|(_, place)| place == to), "{to}");
    }
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(assets.iter().any(|(from, _)| from == licence), "{licence}");
    }
}

#[test]
fn all_man_pages_are_written_into_a_directory_that_is_made_for_them() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("share/man1");
    let ran =
        Command::new(env!("CARGO_BIN_EXE_resident")).args(["man", "--dir"]).arg(&dir).env_clear().output();
    assert!(ran.unwrap().status.success());
    let mut names: Vec<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() > 20 && names.contains(&"resident.1".to_owned()), "{names:?}");
    assert!(names.iter().all(|name| name == "resident.1" || name.starts_with("resident-")), "{names:?}");
    let page = std::fs::read_to_string(dir.join("resident-swap.1")).unwrap();
    assert!(page.contains(".TH resident") && page.contains("EXAMPLES"), "{page}");
}

#[test]
fn completions_and_man_page_into_a_closed_pipe_are_no_error() {
    for args in [&["completions", "zsh"][..], &["man"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = Command::new(env!("CARGO_BIN_EXE_resident")).args(args).stdout(writer).status().unwrap();
        assert_eq!(status.code(), Some(0), "{args:?}");
    }
}
