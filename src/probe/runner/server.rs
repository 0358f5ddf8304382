//! The server behind a port: which process listens there, so that its runners are found as its children.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::process;

/// Walks between two attempts that have nothing new to go by: it may have begun to listen since.
const AGAIN: u32 = 15;

/// The server of one port. Nothing is certain of one that listens in another network (a container's): then it is
/// never found, and its runners are looked for among all processes.
#[derive(Debug)]
pub(super) struct Server {
    port: u16,
    found: Option<Found>,
    /// Who it could have been at the last attempt in vain, and how many walks ago that was.
    tried: (Vec<u32>, u32),
    /// Sockets that were looked for among all processes already: that is much to read, so it is done once.
    searched: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    pid: u32,
    /// Another process may have its id some day.
    began: u64,
}

impl Server {
    pub(super) fn new(port: u16) -> Server {
        Server { port, found: None, tried: (Vec::new(), AGAIN), searched: Vec::new() }
    }

    /// Its process, if that is known.
    pub(super) fn pid(&self) -> Option<u32> {
        self.found.map(|found| found.pid)
    }

    /// Its children; `None` where it is not known or gone, and where the kernel tells no children.
    pub(super) fn children(&mut self, proc: &Path) -> Option<Vec<u32>> {
        let Found { pid, began } = self.found?;
        let process = proc.join(pid.to_string());
        if process::began(&process) != Some(began) {
            *self = Server::new(self.port);
            return None;
        }
        let mut children = None;
        // Each thread has the children that it has started itself.
        for thread in fs::read_dir(process.join("task")).ok()?.flatten() {
            let Ok(of_thread) = fs::read_to_string(thread.path().join("children")) else { continue };
            let pids = of_thread.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok());
            children.get_or_insert_with(Vec::new).extend(pids);
        }
        children
    }

    /// Looks which of these processes it is, or else of all, unless that was done lately.
    pub(super) fn look_for(&mut self, proc: &Path, mut among: Vec<u32>, all: impl FnOnce() -> Vec<u32>) {
        among.sort_unstable();
        among.dedup();
        self.tried.1 += 1;
        if self.found.is_some() || (self.tried.0 == among && self.tried.1 < AGAIN) {
            return;
        }
        let listening = listening(proc, self.port);
        let began = |pid: u32| process::began(&proc.join(pid.to_string()));
        let sockets: Vec<u64> = listening.iter().map(|socket| socket.inode).collect();
        let is_new = sockets.iter().any(|socket| !self.searched.contains(socket));
        let search = || is_new.then(|| holder(proc, &all(), &listening)).flatten();
        let found = owner(proc, &among, &listening).or_else(search);
        self.found = found.and_then(|pid| began(pid).map(|began| Found { pid, began }));
        (self.tried, self.searched) = ((among, 0), sockets);
    }
}

/// A socket that listens.
struct Socket {
    inode: u64,
    user: u32,
}

/// The sockets that listen on a port.
fn listening(proc: &Path, port: u16) -> Vec<Socket> {
    /// Its number in these tables.
    const LISTENS: &str = "0A";
    let parse = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, here) = words.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(here, 16) == Ok(port) && *words.get(3)? == LISTENS;
        let socket = Socket { user: words.get(7)?.parse().ok()?, inode: words.get(9)?.parse().ok()? };
        is_it.then_some(socket)
    };
    // The kernel takes some milliseconds for each of these.
    let tables = ["net/tcp", "net/tcp6"].into_iter().map(|table| {
        let table = fs::read_to_string(proc.join(table)).unwrap_or_default();
        table.lines().filter_map(parse).collect::<Vec<Socket>>()
    });
    tables.into_iter().find(|sockets| !sockets.is_empty()).unwrap_or_default()
}

/// Which of these has one of the sockets.
fn holder(proc: &Path, among: &[u32], sockets: &[Socket]) -> Option<u32> {
    let links: Vec<String> = sockets.iter().map(|socket| format!("socket:[{}]", socket.inode)).collect();
    let is_one = |link: &Path| link.to_str().is_some_and(|link| links.iter().any(|one| one == link));
    among.iter().copied().find(|pid| {
        let files = fs::read_dir(proc.join(pid.to_string()).join("fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|link| is_one(&link))
    })
}

/// The same, or else the only one whose files may not be looked at and whose user has one of the sockets.
fn owner(proc: &Path, among: &[u32], sockets: &[Socket]) -> Option<u32> {
    let is_hidden = |pid: &u32| fs::read_dir(proc.join(pid.to_string()).join("fd")).is_err();
    let is_users = |pid: &u32| {
        let user = fs::metadata(proc.join(pid.to_string())).map(|process| process.uid());
        user.is_ok_and(|user| sockets.iter().any(|socket| socket.user == user))
    };
    holder(proc, among, sockets).or_else(|| {
        let hidden: Vec<u32> = among.iter().copied().filter(is_hidden).filter(is_users).collect();
        match hidden[..] {
            [pid] => Some(pid),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const PORT: u16 = 11434;

    struct Proc(tempfile::TempDir);

    impl Proc {
        /// A machine on which `user` listens on the server's port with socket 99, and another one on another port.
        fn new(user: u32) -> Proc {
            let proc = Proc(tempfile::tempdir().unwrap());
            fs::create_dir(proc.0.path().join("net")).unwrap();
            let table = format!(
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                 0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 {user} 0 98 1 0 100 0\n\
                 1: 0100007F:2CAA 0100007F:9000 01 00000000:00000000 00:00000000 00000000 {user} 0 97 1 0 100 0\n\
                 2: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000 {user} 0 99 1 0 100 0\n"
            );
            fs::write(proc.0.path().join("net/tcp"), table).unwrap();
            proc
        }

        fn process(&self, pid: u32, began: u32) {
            let process = self.0.path().join(pid.to_string());
            fs::create_dir_all(&process).unwrap();
            let stat = format!("{pid} (ollama) S 1 7 7 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 {began} 99 1\n");
            fs::write(process.join("stat"), stat).unwrap();
        }

        fn socket(&self, pid: u32, inode: u32) {
            let files = self.0.path().join(pid.to_string()).join("fd");
            fs::create_dir_all(&files).unwrap();
            symlink(format!("socket:[{inode}]"), files.join("3")).unwrap();
        }

        fn children(&self, pid: u32, thread: u32, children: &str) {
            let thread = self.0.path().join(format!("{pid}/task/{thread}"));
            fs::create_dir_all(&thread).unwrap();
            fs::write(thread.join("children"), children).unwrap();
        }

        fn found(&self, among: &[u32]) -> Option<u32> {
            let mut server = Server::new(PORT);
            server.look_for(self.0.path(), among.to_vec(), Vec::new);
            server.found.map(|found| found.pid)
        }
    }

    /// Who the test's files belong to.
    fn us() -> u32 {
        fs::metadata(tempfile::tempdir().unwrap().path()).unwrap().uid()
    }

    #[test]
    fn the_server_is_the_one_that_has_the_listening_socket() {
        let proc = Proc::new(us());
        for (pid, inode) in [(5, 98), (6, 97), (7, 99)] {
            proc.process(pid, 1);
            proc.socket(pid, inode);
        }
        assert_eq!(proc.found(&[5, 6, 7]), Some(7));
        assert_eq!(proc.found(&[5, 6]), None);
        assert_eq!(proc.found(&[]), None);
    }

    #[test]
    fn whose_files_are_hidden_is_the_server_if_only_it_can_be() {
        let (mine, others) = (Proc::new(us()), Proc::new(us() + 1));
        for proc in [&mine, &others] {
            proc.process(5, 1);
        }
        assert_eq!(mine.found(&[5]), Some(5));
        assert_eq!(others.found(&[5]), None, "another user listens there");
        mine.process(6, 1);
        assert_eq!(mine.found(&[5, 6]), None, "nobody can say which of the two");
    }

    #[test]
    fn who_looks_like_no_server_is_searched_for_among_all_once() {
        let proc = Proc::new(us());
        proc.process(7, 1);
        let mut server = Server::new(PORT);
        server.look_for(proc.0.path(), Vec::new(), || vec![5, 6, 7]);
        assert_eq!(server.pid(), None);
        proc.socket(7, 99);
        server.look_for(proc.0.path(), vec![5], || unreachable!("it was searched for already"));
        let mut server = Server::new(PORT);
        server.look_for(proc.0.path(), Vec::new(), || vec![5, 6, 7]);
        assert_eq!(server.pid(), Some(7));
    }

    #[test]
    fn children_of_all_its_threads_are_its_runners_until_it_ends() {
        let proc = Proc::new(us());
        proc.process(7, 1);
        proc.socket(7, 99);
        let mut server = Server::new(PORT);
        assert_eq!(server.children(proc.0.path()), None);
        server.look_for(proc.0.path(), vec![7], Vec::new);
        assert_eq!(server.children(proc.0.path()), None, "a kernel that tells no children");
        proc.children(7, 7, "");
        assert_eq!(server.children(proc.0.path()), Some(vec![]));
        proc.children(7, 7, "20 ");
        proc.children(7, 9, "21 22 ");
        let mut children = server.children(proc.0.path()).unwrap();
        children.sort_unstable();
        assert_eq!(children, [20, 21, 22]);
        // Another process under its id.
        proc.process(7, 2);
        assert_eq!(server.children(proc.0.path()), None);
        assert!(server.found.is_none());
    }

    #[test]
    fn an_attempt_in_vain_is_made_again_when_there_is_another_candidate_or_after_a_while() {
        let proc = Proc::new(us());
        proc.process(7, 1);
        fs::create_dir_all(proc.0.path().join("7/fd")).unwrap();
        let mut server = Server::new(PORT);
        server.look_for(proc.0.path(), vec![7], Vec::new);
        proc.socket(7, 99);
        for _ in 1..AGAIN {
            server.look_for(proc.0.path(), vec![7], Vec::new);
            assert!(server.found.is_none());
        }
        server.look_for(proc.0.path(), vec![7], Vec::new);
        assert!(server.found.is_some());
        let mut server = Server { tried: (vec![7], 0), ..Server::new(PORT) };
        server.look_for(proc.0.path(), vec![7, 8], Vec::new);
        assert!(server.found.is_some());
    }
}
