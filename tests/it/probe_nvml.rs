//! NVML against a small library that is built here from C and plays an RTX 2070.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use resident::probe::gpu::{self, CardSource};
use resident::probe::nvml::Nvidia;
use resident::residency::bytes::{Bytes, MIB};
use resident::residency::host::{Card, CardProcess, Cards, Pcie};
use resident::residency::timing::{Clock, Moment};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// The library, its play file and a sysfs tree of its own.
struct Stage {
    directory: TempDir,
}

impl Stage {
    fn build() -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let play = directory.path().join("play");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fake_nvml.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
            .arg(directory.path().join("fake.so"))
            .arg(format!("-DPLAY=\"{}\"", play.display()))
            .arg(source)
            .status()
            .unwrap();
        assert!(built.success());
        Stage { directory }
    }

    fn library(&self) -> OsString {
        self.directory.path().join("fake.so").into()
    }

    fn sys(&self) -> PathBuf {
        self.directory.path().join("sys")
    }

    fn nvidia(&self) -> Nvidia {
        Nvidia::at(vec!["/nowhere/libnvidia-ml.so.1".into(), self.library()], &self.sys())
    }

    fn play(&self, lines: &str) {
        fs::write(self.directory.path().join("play"), lines).unwrap();
    }

    /// The functions called since the last time.
    fn calls(&self) -> Vec<String> {
        let log = self.directory.path().join("play.log");
        let calls = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        calls.lines().map(str::to_owned).collect()
    }

    /// Waits until the library was asked this.
    async fn asked(&self, function: &str) {
        let log = self.directory.path().join("play.log");
        while !fs::read_to_string(&log).unwrap_or_default().lines().any(|line| line == function) {
            tokio::task::yield_now().await;
        }
    }

    fn pci(&self, address: &str, runtime_status: &str) {
        let device = self.sys().join("bus/pci/devices").join(address);
        fs::create_dir_all(device.join("power")).unwrap();
        fs::write(device.join("vendor"), "0x10de\n").unwrap();
        fs::write(device.join("class"), "0x030000\n").unwrap();
        fs::write(device.join("power/runtime_status"), format!("{runtime_status}\n")).unwrap();
    }
}

fn rtx_2070() -> Card {
    let process = |pid, used: Option<u64>| CardProcess { pid, used: used.map(|mib| Bytes(mib * MIB)) };
    Card {
        name: "NVIDIA GeForce RTX 2070".to_owned(),
        total: Bytes(8192 * MIB),
        used: Bytes(4992 * MIB),
        free: Bytes(3000 * MIB),
        utilisation: Some(63),
        temperature: Some(71),
        power: Some(142.5),
        pcie: Some(Pcie { generation: 1, width: 8, max_generation: 3, max_width: 16 }),
        receive_rate: Some(Bytes(2_500_000_000)),
        processes: vec![process(900, Some(300)), process(4711, Some(4500)), process(4712, None)],
        asleep: false,
        unified: false,
    }
}

fn unknown(why: &str) -> Cards {
    Cards::Unknown(why.to_owned())
}

#[test]
fn an_rtx_2070_is_read_whole() {
    let stage = Stage::build();
    assert_eq!(stage.nvidia().read(), Cards::Known(vec![rtx_2070()]));
}

#[test]
fn each_question_that_fails_leaves_the_others_answered() {
    type Change = fn(&mut Card);
    let cases: [(&str, Change); 12] = [
        ("nvmlDeviceGetName", |card| card.name = "NVIDIA card".to_owned()),
        ("nvmlDeviceGetPciInfo_v3", |_| ()),
        ("nvmlDeviceGetMemoryInfo_v2", |card| {
            (card.total, card.used, card.free) = (Bytes(0), Bytes(0), Bytes(0));
        }),
        ("nvmlDeviceGetUtilizationRates", |card| card.utilisation = None),
        ("nvmlDeviceGetTemperature", |card| card.temperature = None),
        ("nvmlDeviceGetPowerUsage", |card| card.power = None),
        ("nvmlDeviceGetCurrPcieLinkGeneration", |card| card.pcie = None),
        ("nvmlDeviceGetCurrPcieLinkWidth", |card| card.pcie = None),
        ("nvmlDeviceGetMaxPcieLinkGeneration", |card| card.pcie = None),
        ("nvmlDeviceGetMaxPcieLinkWidth", |card| card.pcie = None),
        ("nvmlDeviceGetPcieThroughput", |card| card.receive_rate = None),
        ("nvmlDeviceGetGraphicsRunningProcesses_v3", |card| {
            card.processes.retain(|process| process.pid != 900);
        }),
    ];
    let stage = Stage::build();
    // Not supported, no permission, time-out, unknown error, and a code of a driver yet to come.
    for code in [3, 4, 10, 999, 4242] {
        for (function, change) in cases {
            stage.play(&format!("{function} {code}"));
            let mut expected = rtx_2070();
            change(&mut expected);
            expected.unified = function == "nvmlDeviceGetMemoryInfo_v2" && code == 3;
            assert_eq!(stage.nvidia().read(), Cards::Known(vec![expected]), "{function} {code}");
        }
    }
}

#[test]
fn a_card_or_driver_that_is_gone_at_any_question_is_a_value() {
    let stage = Stage::build();
    stage.nvidia().read();
    let questions: Vec<String> = stage
        .calls()
        .into_iter()
        .filter(|name| name != "nvmlShutdown" && name != "nvmlDeviceGetPciInfo_v3")
        .collect();
    assert!(questions.len() >= 16, "{questions:?}");
    for function in questions {
        stage.play(&format!("{function} 15"));
        assert_eq!(stage.nvidia().read(), unknown("the NVIDIA card fell off the bus"), "{function}");
    }
}

#[test]
fn why_the_library_does_not_start_is_told() {
    let cases = [
        (9, "the NVIDIA driver is not loaded"),
        (18, "the NVIDIA driver was updated: reboot, or reload its module"),
        (4, "no permission to ask the NVIDIA driver"),
        (999, "NVML: an internal driver error occurred"),
    ];
    let stage = Stage::build();
    for (code, why) in cases {
        stage.play(&format!("nvmlInit_v2 {code}"));
        assert_eq!(stage.nvidia().read(), unknown(why), "{code}");
    }
    let mut missing = Nvidia::at(vec!["/nowhere/libnvidia-ml.so.1".into()], &stage.sys());
    assert_eq!(missing.read(), unknown("no NVIDIA driver"));
}

#[test]
fn a_library_without_its_functions_is_an_old_driver() {
    let directory = tempfile::tempdir().unwrap();
    let (source, library) = (directory.path().join("empty.c"), directory.path().join("empty.so"));
    fs::write(&source, "int nothing;\n").unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status().unwrap();
    assert!(built.success());
    let mut old = Nvidia::at(vec![library.into()], directory.path());
    assert_eq!(old.read(), unknown("the NVIDIA driver is too old"));
}

#[test]
fn a_failed_start_is_tried_again_but_rarely() {
    let stage = Stage::build();
    stage.play("nvmlInit_v2 9");
    let mut nvidia = stage.nvidia();
    let why = unknown("the NVIDIA driver is not loaded");
    for _ in 0..30 {
        assert_eq!(nvidia.read(), why);
    }
    assert_eq!(stage.calls(), ["nvmlInit_v2"]);
    stage.play("");
    assert_eq!(nvidia.read(), Cards::Known(vec![rtx_2070()]));
}

#[test]
fn a_reloaded_driver_is_found_again() {
    let stage = Stage::build();
    let mut nvidia = stage.nvidia();
    assert_eq!(nvidia.read(), Cards::Known(vec![rtx_2070()]));
    stage.play("nvmlDeviceGetCount_v2 1");
    let lost = nvidia.read();
    assert!(matches!(&lost, Cards::Unknown(why) if why.starts_with("NVML:")), "{lost:?}");
    stage.play("");
    let found = (0..30).map(|_| nvidia.read()).find(|cards| *cards != lost);
    assert_eq!(found, Some(Cards::Known(vec![rtx_2070()])));
}

#[test]
fn the_slow_question_is_asked_seldom_and_its_answer_kept() {
    let stage = Stage::build();
    let mut nvidia = stage.nvidia();
    for _ in 0..10 {
        assert_eq!(nvidia.read(), Cards::Known(vec![rtx_2070()]));
    }
    let asked = stage.calls().iter().filter(|name| *name == "nvmlDeviceGetPcieThroughput").count();
    assert_eq!(asked, 2);
}

#[test]
fn a_sleeping_card_is_not_woken() {
    let stage = Stage::build();
    stage.pci("0000:01:00.0", "suspended");
    let mut nvidia = stage.nvidia();
    let stranger = Card { name: "NVIDIA card".to_owned(), asleep: true, ..Card::default() };
    assert_eq!(nvidia.read(), Cards::Known(vec![stranger]));
    assert_eq!(stage.calls(), Vec::<String>::new());

    stage.pci("0000:01:00.0", "active");
    assert_eq!(nvidia.read(), Cards::Known(vec![rtx_2070()]));
    stage.calls();

    stage.pci("0000:01:00.0", "suspended");
    let Card { name, total, .. } = rtx_2070();
    let sleeper = Card { name, total, free: total, asleep: true, ..Card::default() };
    assert_eq!(nvidia.read(), Cards::Known(vec![sleeper]));
    assert_eq!(stage.calls(), Vec::<String>::new());
}

#[test]
fn beside_a_sleeping_card_the_other_is_asked_by_its_address() {
    let stage = Stage::build();
    stage.pci("0000:01:00.0", "active");
    stage.pci("0000:02:00.0", "suspended");
    let sleeper = Card { name: "NVIDIA card".to_owned(), asleep: true, ..Card::default() };
    assert_eq!(stage.nvidia().read(), Cards::Known(vec![rtx_2070(), sleeper]));
    assert!(!stage.calls().contains(&"nvmlDeviceGetHandleByIndex_v2".to_owned()));
}

#[expect(clippy::disallowed_methods, reason = "the tests' clock")]
fn clock() -> Clock {
    Arc::new(|| Moment { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() })
}

#[tokio::test]
async fn a_driver_that_hangs_keeps_nothing_else_from_running() {
    let stage = Stage::build();
    stage.play("nvmlInit_v2 -1");
    let hung =
        gpu::spawn(Box::new(stage.nvidia()), clock(), Duration::from_millis(1), CancellationToken::new());
    stage.asked("nvmlInit_v2").await;
    // The other thread reads, and reads again, while the first never answers.
    let other = Stage::build();
    let mut cards =
        gpu::spawn(Box::new(other.nvidia()), clock(), Duration::from_millis(1), CancellationToken::new());
    let first = cards.readings.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert_eq!(first.value, Cards::Known(vec![rtx_2070()]));
    cards
        .readings
        .wait_for(|latest| latest.as_ref().is_some_and(|r| r.at.mono > first.at.mono))
        .await
        .unwrap();
    hung.wake();
    assert!(hung.readings.borrow().is_none());
}

#[tokio::test]
async fn a_driver_that_hangs_later_leaves_its_last_answer_with_its_age() {
    let stage = Stage::build();
    let mut cards =
        gpu::spawn(Box::new(stage.nvidia()), clock(), Duration::from_secs(3600), CancellationToken::new());
    let first = cards.readings.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    stage.play("nvmlDeviceGetMemoryInfo_v2 -1");
    stage.calls();
    cards.wake();
    // It has asked, so it hangs now.
    stage.asked("nvmlDeviceGetMemoryInfo_v2").await;
    let latest = cards.readings.borrow().clone().unwrap();
    assert_eq!(latest, first);
    assert!(latest.age(clock()()) > Duration::ZERO);
}
