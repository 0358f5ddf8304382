//! What figures were measured on: machine, disk, card and server, as far as each can be read.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::residency::bytes::Bytes;
use crate::residency::snapshot::Snapshot;
use crate::residency::text::printable;

/// Where something was measured. What could not be read is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Setting {
    /// The machine's name.
    pub host: String,
    /// Its processor.
    pub cpu: Option<String>,
    /// How many threads that runs at once.
    pub threads: usize,
    /// Its memory.
    pub ram: Option<Bytes>,
    /// The device that the models lie on, with its model where it has one.
    pub disk: Option<String>,
    /// How far the kernel reads ahead there, in KiB.
    pub readahead: Option<u64>,
    /// The cards.
    pub cards: Vec<(String, Bytes)>,
    /// Where the server listens.
    pub server: String,
    /// What it calls itself.
    pub version: Option<String>,
    /// The embedded server's scale.
    pub demo_scale: Option<u64>,
}

impl Setting {
    /// Reads it.
    pub fn read(snapshot: &Snapshot) -> Setting {
        let cpus = sysinfo::System::new_with_specifics(
            sysinfo::RefreshKind::nothing().with_cpu(sysinfo::CpuRefreshKind::nothing()),
        );
        let brand = cpus.cpus().first().map(|cpu| cpu.brand().trim().to_owned());
        let server = snapshot.servers.first();
        let cards = snapshot.host.card_list();
        let disk = server.and_then(|server| server.models_dir.as_deref()).map(Disk::of).unwrap_or_default();
        Setting {
            host: snapshot.host.name.clone(),
            cpu: brand.filter(|brand| !brand.is_empty()),
            threads: cpus.cpus().len(),
            ram: snapshot.host.ram.map(|reading| reading.value.total),
            disk: disk.name,
            readahead: disk.readahead,
            cards: cards.iter().map(|card| (card.name.clone(), card.total)).collect(),
            server: server.map(|server| server.url.clone()).unwrap_or_default(),
            version: server.and_then(|server| server.version.clone()),
            demo_scale: server.and_then(|server| server.demo_scale),
        }
    }

    /// What and in which words, line by line.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let cpu =
            self.cpu.as_deref().map_or_else(|| "processor ?".to_owned(), |cpu| printable(cpu).into_owned());
        let ram = self.ram.map_or_else(|| "?".to_owned(), |ram| format!("{:.1} GiB", ram.gib()));
        let disk = self.disk.as_deref().map_or_else(|| "?".to_owned(), |disk| printable(disk).into_owned());
        let readahead = self.readahead.map_or_else(|| "?".to_owned(), |kib| format!("{kib} KiB"));
        let cards: Vec<String> = self
            .cards
            .iter()
            .map(|(name, total)| format!("{}, {:.1} GiB", printable(name), total.gib()))
            .collect();
        let played = if self.demo_scale.is_some() { " (played by the demo, no real card)" } else { "" };
        let card = if cards.is_empty() { "none seen".to_owned() } else { cards.join("; ") + played };
        let version = self.version.as_deref().map_or_else(|| "?".to_owned(), |v| printable(v).into_owned());
        let server = match self.demo_scale {
            Some(scale) => format!("the demo's embedded server at 1:{scale}, as Ollama {version}"),
            None => format!("Ollama {version}"),
        };
        vec![
            ("machine", format!("{}, {cpu}, {} threads, {ram} RAM", printable(&self.host), self.threads)),
            ("disk", format!("{disk}, readahead {readahead}")),
            ("card", card),
            ("server", server),
        ]
    }

    /// The columns that [`Setting::cells`] fill.
    pub const COLUMNS: &str = "host,cpu,ram_bytes,disk,readahead_kib,card,version,demo_scale";

    /// The same on every line of a CSV file.
    pub fn cells(&self) -> [String; 8] {
        let words = |words: &Option<String>| {
            words.as_deref().map(|words| printable(words).into_owned()).unwrap_or_default()
        };
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let played = if self.demo_scale.is_some() { " (played)" } else { "" };
        let cards = self.cards.iter().map(|(name, _)| format!("{}{played}", printable(name)));
        [
            printable(&self.host).into_owned(),
            words(&self.cpu),
            number(self.ram.map(|ram| ram.0)),
            words(&self.disk),
            number(self.readahead),
            cards.collect::<Vec<_>>().join("; "),
            words(&self.version),
            number(self.demo_scale),
        ]
    }

    /// For scripts.
    pub fn json(&self) -> Value {
        json!({
            "host": self.host,
            "cpu": self.cpu,
            "threads": self.threads,
            "ram_bytes": self.ram,
            "disk": self.disk,
            "readahead_kib": self.readahead,
            "cards": self.cards.iter().map(|(name, total)| json!({ "name": name, "total_bytes": total })).collect::<Vec<_>>(),
            "cards_are_played": self.demo_scale.is_some(),
            "server": self.server,
            "version": self.version,
            "demo_scale": self.demo_scale,
        })
    }
}

/// The block device below a directory.
#[derive(Default)]
struct Disk {
    name: Option<String>,
    readahead: Option<u64>,
}

impl Disk {
    fn of(dir: &Path) -> Disk {
        device(dir).map(|number| Disk::numbered(Path::new("/sys"), number)).unwrap_or_default()
    }

    /// What the kernel says in `sys` of device `major:minor`. File systems without a device of their own, such as btrfs
    /// and overlays, have only a readahead.
    fn numbered(sys: &Path, (major, minor): (u32, u32)) -> Disk {
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(path).ok()?;
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let number = format!("{major}:{minor}");
        let readahead = read(sys.join("class/bdi").join(&number).join("read_ahead_kb"));
        let Ok(device) = std::fs::canonicalize(sys.join("dev/block").join(&number)) else {
            return Disk { name: None, readahead: readahead.and_then(|kib| kib.parse().ok()) };
        };
        // A partition's queue and model are its disk's.
        let disk =
            if device.join("partition").exists() { device.parent().unwrap_or(&device) } else { &device };
        let readahead = readahead.or_else(|| read(disk.join("queue/read_ahead_kb")));
        let name = disk.file_name().map(|name| name.to_string_lossy().into_owned());
        let model = read(disk.join("device/model"));
        Disk {
            name: name.map(|name| model.map_or_else(|| name.clone(), |model| format!("{name} ({model})"))),
            readahead: readahead.and_then(|kib| kib.parse().ok()),
        }
    }
}

/// The device number of the file system that a directory is on.
fn device(dir: &Path) -> Option<(u32, u32)> {
    let device = rustix::fs::stat(dir).ok()?.st_dev;
    #[expect(clippy::useless_conversion, reason = "of another type on other systems")]
    let device = u64::try_from(device).ok()?;
    Some((rustix::fs::major(device), rustix::fs::minor(device)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_after_its_disk() {
        let sys = tempfile::tempdir().unwrap();
        let disk = sys.path().join("devices/nvme0n1");
        let part = disk.join("nvme0n1p2");
        for dir in [&disk.join("queue"), &disk.join("device"), &part, &sys.path().join("dev/block")] {
            std::fs::create_dir_all(dir).unwrap();
        }
        std::fs::write(disk.join("queue/read_ahead_kb"), "128\n").unwrap();
        std::fs::write(disk.join("device/model"), "Fast 970   \n").unwrap();
        std::fs::write(part.join("partition"), "2\n").unwrap();
        std::os::unix::fs::symlink(&part, sys.path().join("dev/block/259:2")).unwrap();
        let found = Disk::numbered(sys.path(), (259, 2));
        assert_eq!((found.name.as_deref(), found.readahead), (Some("nvme0n1 (Fast 970)"), Some(128)));
        let none = Disk::numbered(sys.path(), (0, 45));
        assert_eq!((none.name, none.readahead), (None, None));
    }

    #[test]
    fn what_is_not_known_is_a_question_mark() {
        let lines = Setting { host: "box".to_owned(), threads: 2, ..Setting::default() }.lines();
        assert_eq!(lines[0].1, "box, processor ?, 2 threads, ? RAM");
        assert_eq!(lines[1].1, "?, readahead ?");
        assert_eq!((lines[2].1.as_str(), lines[3].1.as_str()), ("none seen", "Ollama ?"));
    }

    #[test]
    fn the_cards_of_the_demo_are_said_to_be_played() {
        let cards = vec![("RTX 2070".to_owned(), Bytes(8 << 30))];
        let real = Setting { cards, ..Setting::default() };
        assert_eq!(real.lines()[2].1, "RTX 2070, 8.0 GiB");
        let demo = Setting { demo_scale: Some(16), ..real };
        assert_eq!(demo.lines()[2].1, "RTX 2070, 8.0 GiB (played by the demo, no real card)");
        assert_eq!(demo.cells()[5], "RTX 2070 (played)");
    }
}
