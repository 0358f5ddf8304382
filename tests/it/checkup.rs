//! The check-up: each verdict from made-up facts.

use std::time::Duration;

use resident::residency::budget::Limits;
use resident::residency::bytes::{Bytes, GB, GIB, MIB};
use resident::residency::checkup::{
    Access, Check, Disk, Facts, Group, Lock, Settings, Source, Terminal, Topic, Verdict, checkup,
};
use resident::residency::host::{Card, Cards, LoadMode, Pcie, Ram, Runner};
use resident::residency::record::SwapRecord;
use resident::residency::snapshot::{Model, Reach, Snapshot};
use resident::residency::swap::{Before, Ended, Stages, Way};
use resident::residency::tier::Cached;
use resident::residency::timing::Reading;

use crate::cli_fake::{in_vram, name, noon, on_disk, snapshot};

use Verdict::{Better, Broken, Ok, Unknown};

/// A machine on which all is well but what a test changes.
struct Made {
    settings: Settings,
    limits: Limits,
    snapshot: Snapshot,
    access: Option<Access>,
    lock: Lock,
    disk: Disk,
    group: Group,
    contained: Option<bool>,
    terminal: Terminal,
}

impl Made {
    fn well() -> Made {
        let access = Access {
            mode: 0o755,
            owner: "ann".into(),
            group: "ann".into(),
            readable: 2,
            ..Access::default()
        };
        Made {
            settings: Settings { source: Source::Named("/c.yaml".into()), ..Settings::default() },
            limits: Limits::Auto,
            snapshot: snapshot(noon(), vec![on_disk("big:9b", 9 * GB, 0), on_disk("small:1b", GB, 0)]),
            access: Some(access),
            lock: Lock::Unlimited,
            disk: Disk::Read {
                model: name("big:9b"),
                bytes: Bytes(GB / 4),
                took: Duration::from_millis(125),
            },
            group: Group::Free,
            contained: Some(false),
            terminal: Terminal {
                size: Some((120, 30)),
                term: Some("xterm-256color".into()),
                locale: Some("en_GB.UTF-8".into()),
                ..Terminal::default()
            },
        }
    }

    fn checks(&self) -> Vec<Check> {
        checkup(&Facts {
            settings: &self.settings,
            limits: self.limits,
            host: &self.snapshot.host,
            server: &self.snapshot.servers[0],
            past: &self.snapshot.past,
            access: self.access.as_ref(),
            lock: &self.lock,
            disk: &self.disk,
            group: &self.group,
            contained: self.contained,
            terminal: &self.terminal,
        })
    }

    fn models(&mut self) -> &mut Vec<Model> {
        &mut self.snapshot.servers[0].models
    }

    fn loads(&mut self, loads: Vec<SwapRecord>) {
        let past = std::sync::Arc::make_mut(&mut self.snapshot.past);
        past.swaps = loads.into_iter().map(|load| (noon().wall, load)).collect();
    }

    fn cards(&mut self, cards: Cards) {
        self.snapshot.host.cards = Some(Reading { value: cards, at: noon() });
    }

    fn ram(&mut self, change: impl FnOnce(&mut Ram)) {
        change(&mut self.snapshot.host.ram.as_mut().unwrap().value);
    }

    fn runs(&mut self, runner: Runner) {
        let mut model = in_vram("big:9b", 9 * GB, resident::residency::expiry::Expiry::Never);
        model.loaded.as_mut().unwrap().runner = Some(runner);
        self.models()[0] = model;
    }
}

/// What is said of `topic` where one thing is otherwise; the advice is looked for only.
#[track_caller]
fn said(topic: Topic, change: impl FnOnce(&mut Made), verdict: Verdict, fact: &str, advice: &str) {
    let mut made = Made::well();
    change(&mut made);
    let checks = made.checks();
    let check = checks.iter().find(|check| check.topic == topic).unwrap();
    assert_eq!((check.verdict, check.fact.as_str()), (verdict, fact));
    let given = check.advice.as_deref().unwrap_or_default();
    assert!(given.contains(advice) && given.is_empty() == advice.is_empty(), "{given}");
}

/// A load of a model of 10 GB, of which so much was in RAM.
fn load(ram: u64, seconds: u64, mode: LoadMode) -> SwapRecord {
    let load = Some(Duration::from_secs(seconds));
    SwapRecord {
        model: name("ten:10b"),
        ours: true,
        displaced: Some(Vec::new()),
        before: Before { whole: Bytes(10 * GB), ram: Some(Bytes(ram)), ..Before::default() },
        way: Way::Off,
        mode,
        num_ctx: None,
        stages: Stages { load, total: load, ..Stages::default() },
        ended: Ended::Ready,
    }
}

#[test]
fn where_all_is_well_nothing_is_broken_and_each_thing_is_said_once() {
    let checks = Made::well().checks();
    let bad: Vec<&Check> = checks.iter().filter(|check| matches!(check.verdict, Better | Broken)).collect();
    assert_eq!(bad, Vec::<&Check>::new());
    let topics: Vec<&str> = checks.iter().map(|check| check.topic.key()).collect();
    assert_eq!(
        topics.join(" "),
        "config acts server version engine models page_cache memlock card pcie disk load_mode ram_helps budget \
         cgroup container terminal colours unicode"
    );
}

#[test]
fn the_config_says_where_it_is_from_and_what_in_it_acts() {
    let source = |source: Source| move |made: &mut Made| made.settings.source = source;
    said(Topic::Config, |_| {}, Ok, "/c.yaml, no problems", "");
    said(Topic::Config, source(Source::Demo), Ok, "the demo's own", "");
    said(Topic::Config, source(Source::Defaults), Ok, "no file, the defaults hold", "config --init");
    let found = "./c.yaml was merely found: its names and budgets count, nothing in it acts";
    said(Topic::Config, source(Source::Found("./c.yaml".into())), Better, found, "--config ./c.yaml");
    let note = |made: &mut Made| made.settings.notes = vec!["./config.yaml was passed over".into()];
    said(Topic::Config, note, Better, "/c.yaml, no problems", "passed over");

    said(Topic::Acts, |_| {}, Ok, "nothing by itself", "");
    let acts = |made: &mut Made| made.settings.acts = vec!["refresh", "pins"];
    said(Topic::Acts, acts, Ok, "while a dashboard runs: refresh, pins", "");
    let found = |made: &mut Made| {
        made.settings.acts = vec!["pins"];
        made.settings.source = Source::Found("c".into());
    };
    said(Topic::Acts, found, Better, "nothing; pins would, if the config were named", "");
    let off = |made: &mut Made| {
        made.settings.acts = vec!["pins"];
        made.settings.hands_off = true;
    };
    said(Topic::Acts, off, Ok, "nothing: --no-auto; else pins", "");
    let only_reads = |made: &mut Made| {
        made.settings.acts = vec!["pins"];
        made.settings.read_only = true;
    };
    said(Topic::Acts, only_reads, Ok, "nothing: read-only", "");
}

#[test]
fn servers_that_cannot_be_asked_are_named() {
    let servers = |troubles: [Option<&'static str>; 2]| {
        let of = move |at: usize| troubles[at].map(str::to_owned);
        move |made: &mut Made| made.settings.servers = vec![("home".into(), of(0)), ("lab".into(), of(1))]
    };
    said(Topic::Servers, servers([None, None]), Ok, "2: home, lab", "");
    let one = "lab cannot be asked: env LAB: it is not set";
    said(Topic::Servers, servers([None, Some("env LAB: it is not set")]), Broken, one, "token");
    let both = "home cannot be asked: no file (and 1 more)";
    said(Topic::Servers, servers([Some("no file"), Some("x")]), Broken, both, "token");
}

#[test]
fn the_server_is_judged_by_how_it_answers() {
    let reach = |reach: Reach| move |made: &mut Made| made.snapshot.servers[0].reach = reach;
    let (since, url) = (noon(), "http://127.0.0.1:11434");
    said(Topic::Server, |_| {}, Ok, &format!("{url} answers in 3 ms, 2 models"), "");
    let down = |answers| Reach::Down { since, answers, why: "refused".into() };
    said(
        Topic::Server,
        reach(down(false)),
        Broken,
        &format!("{url} does not answer: refused"),
        "ollama serve",
    );
    said(Topic::Server, reach(down(true)), Broken, &format!("{url} is no Ollama server: refused"), "--host");
    said(Topic::Server, reach(Reach::Connecting), Unknown, &format!("{url} has not answered yet"), "");
    let slow = format!("{url} is slow to answer: busy with a load or an unload");
    said(Topic::Server, reach(Reach::Slow { since }), Better, &slow, "ask again");
    let far = |made: &mut Made| made.snapshot.servers[0].local = false;
    let fact = format!("{url} answers in 3 ms, 2 models, on another machine");
    said(Topic::Server, far, Better, &fact, "run resident on it");
    for topic in [Topic::Models, Topic::PageCache, Topic::Memlock, Topic::Budget, Topic::Container] {
        said(topic, far, Unknown, "the server is on another machine", "");
    }
}

#[test]
fn each_version_is_known_by_what_it_cannot_do() {
    let version =
        |text: &'static str| move |made: &mut Made| made.snapshot.servers[0].version = Some(text.into());
    let safe = "0.32.15: /api/ps is safe to ask during loads, and tells the context";
    said(Topic::Version, |_| {}, Ok, safe, "");
    said(Topic::Version, version("0.32.4-rc1"), Ok, &safe.replace("0.32.15", "0.32.4-rc1"), "");
    let lock = "reads /api/ps without a lock, so it is asked once a second at most";
    for known in ["0.32.3", "0.24.0", "v0.10.0"] {
        said(Topic::Version, version(known), Better, &format!("{known}: {lock}"), "0.32.4");
    }
    let context = "does not tell the context: a touch may reload";
    said(Topic::Version, version("0.9.9"), Better, &format!("0.9.9: {context}; {lock}"), "0.32.4");
    let embeds = "does not say which models only embed";
    let old = format!("0.3.10: no unload by request; {embeds}; {context}; {lock}");
    said(Topic::Version, version("0.3.10"), Broken, &old, "0.32.4");
    let older = format!(
        "0.1.37: no /api/ps: what is loaded cannot be seen; no unload by request; {embeds}; {context}; {lock}"
    );
    said(Topic::Version, version("0.1.37"), Broken, &older, "0.32.4");
    for odd in ["0.0.0", "main", "1.2", "1.2.3.4", ""] {
        let fact = format!("{odd}: a build that does not say what it can");
        said(Topic::Version, version(odd), Unknown, &fact, "once a second");
    }
    let silent = |made: &mut Made| made.snapshot.servers[0].version = None;
    said(Topic::Version, silent, Unknown, "the server has not said it", "");

    let (upstream, past) = ("llama-server: one thread reads", "past RAM for integrated cards");
    said(Topic::Engine, version("0.24.0"), Ok, "in-tree: several threads read, through RAM", "");
    let early = format!("{upstream}, through RAM (--no-mmap, --direct-io)");
    said(Topic::Engine, version("0.30.0"), Ok, &early, "");
    said(Topic::Engine, version("0.32.5"), Ok, &format!("{upstream}; {past} (--direct-io)"), "");
    said(Topic::Engine, version("0.32.6"), Ok, &format!("{upstream}; {past} (--load-mode)"), "");
}

#[test]
fn files_are_judged_by_who_may_read_them_and_who_is_told_what_is_in_ram() {
    let access = |change: fn(&mut Access)| move |made: &mut Made| change(made.access.as_mut().unwrap());
    let place = "/models (ann:ann 755)";
    said(Topic::Models, |_| {}, Ok, &format!("{place}: 2 files, all may be read by us"), "");
    let refused = format!("{place}: 3 of 5 files are not ours to read");
    said(Topic::Models, access(|access| access.refused = 3), Broken, &refused, "usermod -aG ann");
    let missing = format!("{place}: 1 files of models are missing");
    said(Topic::Models, access(|access| access.missing = 1), Broken, &missing, "ollama pull");
    let none = format!("{place}: no file of a model is known there");
    said(Topic::Models, access(|access| access.readable = 0), Unknown, &none, "");
    said(Topic::Models, |made| made.access = None, Unknown, "/models: its permissions cannot be read", "");
    let nowhere = |made: &mut Made| {
        made.snapshot.servers[0].models_dir = None;
        made.snapshot.servers[0].models_dir_unknown = Some("no such directory".into());
    };
    let fact = "where they lie is not known: no such directory";
    said(Topic::Models, nowhere, Unknown, fact, "OLLAMA_MODELS");

    let cached = |each: [Cached; 2], owner: Option<&'static str>| {
        move |made: &mut Made| {
            made.snapshot.servers[0].files_owner = owner.map(str::to_owned);
            for (model, cached) in made.models().iter_mut().zip(each) {
                model.cached = cached;
            }
        }
    };
    let (exact, sampled) = (Cached::Exact(Bytes(1)), Cached::Sampled(Bytes(1)));
    let hidden = Cached::Unknown("ZFS keeps it in the ARC".into());
    said(Topic::PageCache, |_| {}, Ok, "counted exactly by the kernel, 2 models", "");
    let fact = "sampled (~) for 2 models: the kernel counts only for the files' owner";
    let theirs = cached([sampled.clone(), sampled.clone()], Some("ollama"));
    said(Topic::PageCache, theirs, Better, fact, "sudo -u ollama resident");
    let fact = "sampled (~) for 1 models: no exact count here";
    said(Topic::PageCache, cached([sampled, exact.clone()], None), Better, fact, "");
    let fact = "counted exactly for 1 models, not for all: ZFS keeps it in the ARC";
    said(Topic::PageCache, cached([exact, hidden.clone()], None), Better, fact, "");
    said(Topic::PageCache, cached([hidden.clone(), hidden], None), Unknown, "ZFS keeps it in the ARC", "");
    let unread = cached([Cached::Unread, Cached::Unread], None);
    said(Topic::PageCache, unread, Unknown, "no model whose files could be looked at", "");
}

#[test]
fn memory_is_judged_against_the_largest_model_of_the_list() {
    let lock = |limit: u64| {
        move |made: &mut Made| made.lock = Lock::Limited { limit: Bytes(limit), advice: "lines".into() }
    };
    said(Topic::Memlock, |_| {}, Ok, "no limit", "");
    said(Topic::Memlock, |made| made.lock = Lock::Unknown, Unknown, "this system does not tell", "");
    said(Topic::Memlock, lock(9 * GB), Ok, "9.0 GB may be locked, big:9b needs 9.0 GB", "");
    let fact = "8 MB may be locked, big:9b needs 9.0 GB: a hold maps instead";
    said(Topic::Memlock, lock(8 * MIB), Better, fact, "lines");
    let listed = |made: &mut Made| {
        lock(2 * GB)(made);
        made.models()[1].listed = Some(0);
    };
    said(Topic::Memlock, listed, Ok, "2.0 GB may be locked, small:1b needs 1.0 GB", "");

    let set = |models: u64, total: u64| Limits::Set {
        system: Bytes(8 * GIB),
        models_preload: Bytes(models * GIB),
        context_cache: Bytes(4 * GIB),
        total: Bytes(total * GIB),
    };
    let limits = |limits: Limits| move |made: &mut Made| made.limits = limits;
    said(Topic::Budget, limits(set(16, 32)), Ok, "17.2 GB of 34.4 GB are for models", "");
    let fact = "memory.total is 68.7 GB, there are 34.4 GB: 21.5 GB are left for models";
    said(Topic::Budget, limits(set(48, 64)), Better, fact, "34.4 GB or less");
    let fact = "nothing of 12.9 GB is left for models";
    said(Topic::Budget, limits(set(16, 12)), Broken, fact, "memory.system");
    let long = |made: &mut Made| {
        made.limits = set(8, 32);
        made.models()[0].listed = Some(0);
    };
    let fact = "the preload list needs 9.0 GB, 8.6 GB of 34.4 GB are for models";
    said(Topic::Budget, long, Better, fact, "ollama.preload.models");
    let twice = |made: &mut Made| {
        made.limits = set(16, 32);
        made.models().push(Model { shared_with: vec![name("big:9b")], ..on_disk("big:latest", 9 * GB, 0) });
        made.models()[0].listed = Some(0);
        made.models()[2].listed = Some(1);
    };
    said(Topic::Budget, twice, Ok, "17.2 GB of 34.4 GB are for models, the preload list needs 9.0 GB", "");
    said(Topic::Budget, |made| made.snapshot.host.ram = None, Unknown, "memory could not be read", "");
}

#[test]
fn groups_and_containers_are_traps_where_the_model_does_not_fit() {
    let group = |group: Group| move |made: &mut Made| made.group = group;
    said(Topic::Cgroup, |_| {}, Ok, "no memory limit, ours or the server's", "");
    let fact = "the server's is limited to 8.0 GB, big:9b has 9.0 GB";
    said(Topic::Cgroup, group(Group::Limited(Bytes(8 * GB))), Broken, fact, "memory.max");
    let fact = "the server's is limited to 10.0 GB: the largest model fits";
    said(Topic::Cgroup, group(Group::Limited(Bytes(10 * GB))), Ok, fact, "");
    let ours = |made: &mut Made| {
        made.group = Group::Limited(Bytes(10 * GB));
        made.ram(|ram| ram.cgroup_limit = Some(Bytes(4 * GB)));
    };
    said(Topic::Cgroup, ours, Broken, "ours is limited to 4.0 GB, big:9b has 9.0 GB", "memory.max");
    let fact = "ours has no memory limit; the server's: not found";
    said(Topic::Cgroup, group(Group::Unknown("not found".into())), Unknown, fact, "");

    let server = |contained: Option<bool>| move |made: &mut Made| made.contained = contained;
    said(Topic::Container, |_| {}, Ok, "neither we nor the server run in one", "");
    let fact = "the server runs in one, and counts the page cache as used";
    said(Topic::Container, server(Some(true)), Better, fact, "may map less");
    let runner = |made: &mut Made| {
        made.contained = None;
        made.runs(Runner { contained: true, ..Runner::default() });
    };
    said(Topic::Container, runner, Better, fact, "may map less");
    let fact = "we run in one: a server beside us counts the page cache as used";
    said(Topic::Container, |made| made.ram(|ram| ram.contained = true), Better, fact, "may map less");
    let fact = "we run in none; the server's process was not found";
    said(Topic::Container, server(None), Unknown, fact, "");
}

#[test]
fn a_link_counts_only_while_the_card_works() {
    let pcie = Pcie { generation: 4, width: 16, max_generation: 4, max_width: 16 };
    let card = |pcie: Option<Pcie>, utilisation: u8| Card {
        name: "RTX".into(),
        total: Bytes(8 * GIB),
        free: Bytes(3 * GIB),
        pcie,
        utilisation: Some(utilisation),
        ..Card::default()
    };
    let with = |card: Card| move |made: &mut Made| made.cards(Cards::Known(vec![card]));
    let (slow, narrow) = (Pcie { generation: 1, ..pcie }, Pcie { width: 8, ..pcie });
    said(Topic::Pcie, with(card(Some(pcie), 0)), Ok, "RTX: gen 4 x16, all that card and slot can", "");
    let fact = "RTX: gen 1 x16 while idle, gen 4 x16 at most; an idle link saves power";
    said(Topic::Pcie, with(card(Some(slow), 0)), Unknown, fact, "during a load");
    let fact = "RTX: gen 1 x16 while it works, gen 4 x16 at most";
    said(Topic::Pcie, with(card(Some(slow), 50)), Better, fact, "firmware");
    let fact = "RTX: gen 4 x8 while it works, gen 4 x16 at most";
    let receives = Card { receive_rate: Some(Bytes(GB)), ..card(Some(narrow), 0) };
    said(Topic::Pcie, with(receives), Better, fact, "slot with all lanes");
    said(Topic::Pcie, with(card(None, 0)), Unknown, "RTX: the driver does not tell", "");
    let asleep = || Card { asleep: true, ..card(None, 0) };
    said(Topic::Pcie, with(asleep()), Unknown, "RTX: it sleeps, and is not woken to be asked", "");

    said(Topic::Card, with(card(None, 0)), Ok, "RTX, 3.0 of 8.0 GiB free", "");
    said(Topic::Card, with(asleep()), Ok, "RTX, asleep", "");
    let cards = |cards: Cards| move |made: &mut Made| made.cards(cards);
    said(
        Topic::Card,
        cards(Cards::Unknown("no NVIDIA driver".into())),
        Unknown,
        "no NVIDIA driver",
        "--gpus all",
    );
    let none = "the driver answers and has no card: models run in RAM";
    said(Topic::Card, cards(Cards::Known(Vec::new())), Ok, none, "");
    said(Topic::Card, cards(Cards::Unread), Unknown, "the driver has not answered", "");
}

#[test]
fn the_disk_is_judged_by_how_long_the_largest_model_takes_from_it() {
    let read = |millis: u64| {
        let took = Duration::from_millis(millis);
        move |made: &mut Made| made.disk = Disk::Read { model: name("big:9b"), bytes: Bytes(GB / 4), took }
    };
    said(Topic::Disk, |_| {}, Ok, "2.0 GB/s: 250 MB of big:9b in 0.12 s, past RAM", "");
    let fact = "0.5 GB/s: 250 MB of big:9b in 0.50 s, past RAM; big:9b would take ~18 s";
    said(Topic::Disk, read(500), Better, fact, "resident warm");
    said(Topic::Disk, read(0), Unknown, "not measured: nothing could be read", "");
    let quick = |made: &mut Made| made.disk = Disk::Unread("--quick".into());
    said(Topic::Disk, quick, Unknown, "not measured: --quick", "");
}

#[test]
fn how_the_server_reads_is_told_by_a_runner_or_by_the_last_load() {
    let runs = |mode: LoadMode| {
        move |made: &mut Made| {
            made.loads(vec![load(0, 9, LoadMode::InTree)]);
            made.runs(Runner { pid: 77, load_mode: mode, ..Runner::default() });
        }
    };
    let none = "no runner is there to look at, nor a load in the journal";
    said(Topic::LoadMode, |_| {}, Unknown, none, "load a model");
    let who = "(the runner of big:9b, pid 77)";
    said(Topic::LoadMode, runs(LoadMode::Mmap), Ok, &format!("mapped, through RAM {who}"), "");
    said(Topic::LoadMode, runs(LoadMode::Buffered), Ok, &format!("buffered reads, through RAM {who}"), "");
    let direct = format!("direct I/O, past RAM {who}");
    said(Topic::LoadMode, runs(LoadMode::Direct), Better, &direct, "warm and hold do nothing");
    let journal = "parallel buffered reads, through RAM (the last load in the journal, of ten:10b)";
    said(Topic::LoadMode, runs(LoadMode::Unknown), Ok, journal, "");
}

#[test]
fn ram_helps_where_warm_loads_are_faster_than_cold_ones_or_the_disk() {
    let (warm, cold) = (10 * GB, 0);
    let loads = |loads: Vec<SwapRecord>| move |made: &mut Made| made.loads(loads);
    let mmap = |ram, seconds| load(ram, seconds, LoadMode::Mmap);
    said(Topic::RamHelps, |_| {}, Unknown, "no warm load in the journal yet", "resident bench");
    said(
        Topic::RamHelps,
        loads(vec![mmap(cold, 9)]),
        Unknown,
        "no warm load in the journal yet",
        "resident bench",
    );
    let fact = "yes: a warm load does 5.0 GB/s, a cold one 1.0 (~5.0 times)";
    said(Topic::RamHelps, loads(vec![mmap(warm, 2), mmap(cold, 10)]), Ok, fact, "");
    let fact = "yes: a warm load does 5.0 GB/s, the disk 2.0 (~2.5 times)";
    said(Topic::RamHelps, loads(vec![mmap(warm, 2)]), Ok, fact, "");
    let fact = "hardly: a warm load does 2.0 GB/s, the disk 2.0 (~1.0 times)";
    said(Topic::RamHelps, loads(vec![mmap(warm, 5)]), Better, fact, "other programs");
    // One that failed, was there already or was read ahead says nothing of the server's own reading.
    let cancelled = SwapRecord {
        ended: Ended::Cancelled { stage: resident::residency::swap::Stage::Load },
        ..mmap(cold, 1)
    };
    let ahead = SwapRecord { way: Way::Beside, ..mmap(cold, 1) };
    let fact = "yes: a warm load does 5.0 GB/s, the disk 2.0 (~2.5 times)";
    said(Topic::RamHelps, loads(vec![mmap(warm, 2), cancelled, ahead]), Ok, fact, "");
    let unread = |made: &mut Made| {
        made.disk = Disk::Unread("--quick".into());
        made.loads(vec![mmap(warm, 2)]);
    };
    let fact = "a warm load does 5.0 GB/s, with nothing to compare";
    said(Topic::RamHelps, unread, Unknown, fact, "resident bench");
    let direct = loads(vec![load(warm, 2, LoadMode::Direct)]);
    said(Topic::RamHelps, direct, Better, "no: the server reads past it", "");
}

#[test]
fn the_terminal_is_judged_by_size_colours_and_characters() {
    let size = |size: Option<(u16, u16)>| move |made: &mut Made| made.terminal.size = size;
    said(Topic::Terminal, |_| {}, Ok, "120x30", "");
    said(Topic::Terminal, size(Some((80, 24))), Ok, "80x24", "");
    said(Topic::Terminal, size(Some((79, 40))), Better, "79x40: the screen leaves parts out", "80x24");
    said(Topic::Terminal, size(Some((0, 0))), Unknown, "it does not tell its size", "");
    said(Topic::Terminal, size(None), Unknown, "the output is no terminal", "");

    let term = |term: &'static str| move |made: &mut Made| made.terminal.term = Some(term.into());
    said(Topic::Colours, |_| {}, Ok, "256 (xterm-256color)", "");
    said(
        Topic::Colours,
        |made| made.terminal.colorterm = Some("truecolor".into()),
        Ok,
        "all (xterm-256color)",
        "",
    );
    said(Topic::Colours, |made| made.terminal.no_color = true, Ok, "none, as NO_COLOR says", "");
    said(Topic::Colours, term("xterm"), Ok, "16 at least (xterm)", "");
    said(Topic::Colours, term("linux"), Better, "8 or fewer (linux)", "words and glyphs");
    said(Topic::Colours, term("dumb"), Broken, "TERM is dumb: the screen cannot be drawn", "resident status");
    said(Topic::Colours, |made| made.terminal.term = None, Unknown, "TERM is not set", "xterm-256color");

    let locale = |locale: Option<&'static str>| {
        move |made: &mut Made| made.terminal.locale = locale.map(str::to_owned)
    };
    said(Topic::Unicode, |_| {}, Ok, "yes (en_GB.UTF-8)", "");
    said(Topic::Unicode, locale(Some("C.utf8")), Ok, "yes (C.utf8)", "");
    let fact = "POSIX is no UTF-8 locale: glyphs may look broken";
    said(Topic::Unicode, locale(Some("POSIX")), Better, fact, "--ascii");
    said(Topic::Unicode, locale(None), Unknown, "no locale is set: LANG, LC_ALL", "LANG=C.UTF-8");
    said(Topic::Unicode, |made| made.terminal.ascii = true, Ok, "not used: ascii is on", "");
}
