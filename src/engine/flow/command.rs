//! A step's command: a process group of its own, without input, whose output is followed; it never outlives its step.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::output::{Output, follow};

/// How long a group that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(3);
/// Between two looks whether all of a group have ended: only of the process that we started do we hear.
const LOOK: Duration = Duration::from_millis(10);
/// How long output is waited for that a process outside of the group may hold open.
const REST: Duration = Duration::from_millis(200);

/// Runs `argv` until it ends or is stopped; what it leaves running in its group is ended too. The error is why it
/// failed, in words for the user.
pub(super) async fn run(
    argv: &[String],
    environment: [(&'static str, String); 3],
    tell: &watch::Sender<Arc<Output>>,
    stop: &CancellationToken,
) -> Result<(), String> {
    let [program, arguments @ ..] = argv else { return Err("no program is named".to_owned()) };
    let (mut child, output) =
        spawn(program, arguments, environment).map_err(|error| format!("{program}: {error}"))?;
    let mut group = Group::of(&child);
    let mut reading = std::pin::pin!(follow(output, tell));
    let mut is_read = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break Some(status),
            () = stop.cancelled() => break None,
            () = &mut reading, if !is_read => is_read = true,
        }
    };
    // Whoever ends may have something to say, and must not wait for a full pipe.
    let mut ending = std::pin::pin!(group.end(&mut child));
    loop {
        tokio::select! {
            () = &mut ending => break,
            () = &mut reading, if !is_read => is_read = true,
        }
    }
    if !is_read {
        // Somebody outside of the group may hold the pipe open for ever.
        let _ = timeout(REST, reading).await;
    }
    match status {
        None => Err("stopped".to_owned()),
        Some(Err(error)) => Err(format!("{program}: {error}")),
        Some(Ok(status)) if status.success() => Ok(()),
        Some(Ok(status)) => {
            let said = tell.borrow().lines.iter().rfind(|line| !line.is_empty()).cloned();
            Err(said.map_or_else(|| words(status), |said| format!("{}: {said}", words(status))))
        }
    }
}

fn spawn(
    program: &str,
    arguments: &[String],
    environment: [(&'static str, String); 3],
) -> io::Result<(Child, Receiver)> {
    // One pipe for both: their lines stay in the order in which they were written.
    let (ours, theirs) = io::pipe()?;
    let child = Command::new(program)
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(theirs.try_clone()?)
        .stderr(theirs)
        .process_group(0)
        .spawn()?;
    Ok((child, Receiver::from_owned_fd(ours.into())?))
}

fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// A process group that we started. Dropping it kills what is left of it: a run that is dropped leaves no orphans.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Group {
    fn of(child: &Child) -> Group {
        Group(child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)))
    }

    /// Asks all of the group to end, and after a while kills those that have not.
    async fn end(&mut self, child: &mut Child) {
        let Some(group) = self.0 else { return };
        let until = Instant::now() + GRACE;
        let mut left = kill_process_group(group, Signal::TERM).is_ok();
        while left && Instant::now() < until {
            // A child that has ended stays in its group until it is waited for.
            let _ = timeout_at(Instant::now() + LOOK, child.wait()).await;
            left = group_lives(group);
            if left {
                sleep(LOOK).await;
            }
        }
        if left {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait().await;
        self.0 = None;
    }
}

/// Whether any process of a group has not ended. One that nobody has waited for yet has: whose parent ended before it
/// is waited for by the system, some time.
fn group_lives(group: Pid) -> bool {
    test_kill_process_group(group).is_ok()
        && of_group(group).is_none_or(|mut states| states.any(|state| state != 'Z'))
}

/// The states of a group's processes; `None` where the system does not list them.
fn of_group(group: Pid) -> Option<impl Iterator<Item = char>> {
    let processes = std::fs::read_dir("/proc").ok()?;
    let stats = processes.flatten().filter_map(|process| std::fs::read(process.path().join("stat")).ok());
    Some(stats.filter_map(move |stat| {
        // The name before it may hold any bytes.
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = String::from_utf8_lossy(&stat[end + 1..]);
        let mut fields = rest.split_ascii_whitespace();
        let (kind, _parent, of) = (fields.next()?, fields.next()?, fields.next()?);
        (of.parse() == Ok(group.as_raw_nonzero().get())).then(|| kind.chars().next()).flatten()
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;

    use super::*;

    fn argv(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(String::from).into()
    }

    fn environment() -> [(&'static str, String); 3] {
        [
            ("RESIDENT_PHASE", "verification".to_owned()),
            ("RESIDENT_MODEL", "a:b".to_owned()),
            ("RESIDENT_RUN", "w-1".to_owned()),
        ]
    }

    /// Runs a script to its end; gives how it ended and what it said.
    async fn ran(script: &str) -> (Result<(), String>, Vec<String>) {
        let (tell, said) = watch::channel(Arc::default());
        let ended = run(&argv(script), environment(), &tell, &CancellationToken::new()).await;
        let lines = said.borrow().lines.iter().cloned().collect();
        (ended, lines)
    }

    /// Whether a process lives; one that nobody has waited for yet does not.
    fn lives(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
    }

    /// Waits until so many lines were said.
    async fn lines(said: &mut watch::Receiver<Arc<Output>>, count: usize) -> Vec<String> {
        let said = said.wait_for(|output| output.lines.len() >= count).await.unwrap();
        said.lines.iter().cloned().collect()
    }

    /// A child and a grandchild that say who they are and do not end when they are asked to.
    const STUBBORN: &str = "trap '' TERM; sh -c 'echo $$; while :; do sleep 1; done' & echo $$; wait; wait";

    #[tokio::test]
    async fn a_command_knows_its_phase_has_no_input_and_is_heard_in_order() {
        let script = "echo $RESIDENT_PHASE $RESIDENT_MODEL $RESIDENT_RUN; echo oops >&2; cat; echo end";
        let (ended, said) = ran(script).await;
        assert_eq!((ended, said), (Ok(()), ["verification a:b w-1", "oops", "end"].map(String::from).into()));
    }

    #[tokio::test]
    async fn a_failure_is_told_with_the_last_words() {
        let (ended, _) = ran("echo working; echo 'no such test'; exit 3").await;
        assert_eq!(ended, Err("exit status 3: no such test".to_owned()));
        assert_eq!(ran("kill -9 $$").await.0, Err("ended by signal 9".to_owned()));
        let (tell, _said) = watch::channel(Arc::default());
        let none = ["/no/such/program".to_owned()];
        let ended = run(&none, environment(), &tell, &CancellationToken::new()).await;
        assert!(ended.is_err_and(|why| why.starts_with("/no/such/program: No such file")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_whole_group_also_where_it_does_not_listen() {
        let (tell, mut said) = watch::channel(Arc::default());
        let stop = CancellationToken::new();
        let (script, token) = (argv(STUBBORN), stop.clone());
        let running = tokio::spawn(async move { run(&script, environment(), &tell, &token).await });
        let pids = lines(&mut said, 2).await;
        assert!(pids.iter().all(|pid| lives(pid)), "{pids:?}");
        stop.cancel();
        assert_eq!(running.await.unwrap(), Err("stopped".to_owned()));
        // What was killed by a signal is gone as soon as it is next to run.
        while pids.iter().any(|pid| lives(pid)) {
            std::thread::yield_now();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_command_leaves_running_in_its_group_is_ended_with_it() {
        let (ended, said) = ran("sleep 1000 & echo $!").await;
        assert_eq!((ended, said.len()), (Ok(()), 1));
        while lives(&said[0]) {
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_group_of_which_only_zombies_are_left_has_ended() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read line"])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let group = Pid::from_child(&child);
        assert!(group_lives(group));
        drop(child.stdin.take());
        // Not waited for: it stays in its group.
        while group_lives(group) {
            std::thread::yield_now();
        }
        assert_eq!(test_kill_process_group(group), Ok(()));
        child.wait().unwrap();
        assert!(!group_lives(group));
    }

    #[tokio::test]
    async fn a_run_that_is_dropped_leaves_no_orphans() {
        let (tell, mut said) = watch::channel(Arc::default());
        let script = argv(STUBBORN);
        let running =
            tokio::spawn(async move { run(&script, environment(), &tell, &CancellationToken::new()).await });
        let pids = lines(&mut said, 2).await;
        running.abort();
        while pids.iter().any(|pid| lives(pid)) {
            tokio::task::yield_now().await;
        }
    }
}
