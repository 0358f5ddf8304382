//! AMD's cards, as the kernel's sysfs tells of them.

use std::fs;
use std::path::{Path, PathBuf};

use super::gpu::CardSource;
use crate::residency::bytes::Bytes;
use crate::residency::host::{Card, Cards, Pcie};
use crate::residency::text::printable;

/// Reads `class/drm/card*` under a sysfs root.
pub struct Amd {
    sys: PathBuf,
}

impl Amd {
    /// `sys` is `/sys`, or a test's own tree.
    pub fn new(sys: &Path) -> Amd {
        Amd { sys: sys.to_owned() }
    }
}

impl CardSource for Amd {
    fn read(&mut self) -> Cards {
        let mut devices: Vec<(u32, PathBuf)> = fs::read_dir(self.sys.join("class/drm"))
            .into_iter()
            .flatten()
            .flatten()
            // `card0` is a card, `card0-DP-1` one of its sockets.
            .filter_map(|entry| {
                Some((entry.file_name().to_str()?.strip_prefix("card")?.parse().ok()?, entry.path()))
            })
            .map(|(number, path)| (number, path.join("device")))
            .filter(|(_, device)| text(device, "vendor").as_deref() == Some("0x1002"))
            .collect();
        devices.sort();
        if devices.is_empty() {
            return Cards::Unknown("no AMD card".to_owned());
        }
        Cards::Known(devices.iter().map(|(_, device)| card(device)).collect())
    }
}

fn card(device: &Path) -> Card {
    let name = text(device, "product_name").filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| format!("AMD {}", text(device, "device").unwrap_or_default()));
    let name = printable(name.trim()).chars().take(64).collect();
    // Any other file of a sleeping card may wake it.
    if text(device, "power/runtime_status").as_deref() == Some("suspended") {
        return Card { name, asleep: true, ..Card::default() };
    }
    let total = Bytes(number(device, "mem_info_vram_total").unwrap_or(0));
    let used = Bytes(number(device, "mem_info_vram_used").unwrap_or(0).min(total.0));
    let sensors = sensors(device);
    let sensor = |names: &[&str]| names.iter().find_map(|name| number(sensors.as_deref()?, name));
    #[expect(clippy::cast_precision_loss, reason = "watts are for display")]
    let power = sensor(&["power1_average", "power1_input"]).map(|micro| (micro / 1000) as f32 / 1000.0);
    Card {
        name,
        total,
        used,
        free: total.minus(used),
        utilisation: number(device, "gpu_busy_percent").and_then(|busy| u8::try_from(busy.min(100)).ok()),
        temperature: sensor(&["temp1_input"]).and_then(|milli| u32::try_from(milli / 1000).ok()),
        power,
        pcie: pcie(device),
        ..Card::default()
    }
}

/// The directory of the card's thermometers.
fn sensors(device: &Path) -> Option<PathBuf> {
    fs::read_dir(device.join("hwmon")).ok()?.flatten().map(|entry| entry.path()).min()
}

fn pcie(device: &Path) -> Option<Pcie> {
    let lanes = |name| number(device, name).and_then(|lanes| u32::try_from(lanes).ok());
    Some(Pcie {
        generation: generation(&text(device, "current_link_speed")?)?,
        width: lanes("current_link_width")?,
        max_generation: generation(&text(device, "max_link_speed")?)?,
        max_width: lanes("max_link_width")?,
    })
}

/// The PCIe generation of a link speed such as `16.0 GT/s PCIe`.
fn generation(speed: &str) -> Option<u32> {
    match speed.split_whitespace().next()?.trim_end_matches(".0") {
        "2.5" => Some(1),
        "5" => Some(2),
        "8" => Some(3),
        "16" => Some(4),
        "32" => Some(5),
        "64" => Some(6),
        _ => None,
    }
}

/// A sysfs file's one line.
pub(super) fn text(directory: &Path, name: &str) -> Option<String> {
    Some(fs::read_to_string(directory.join(name)).ok()?.trim().to_owned())
}

fn number(directory: &Path, name: &str) -> Option<u64> {
    text(directory, name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join("class/drm").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn a_radeon_is_read_from_sysfs() {
        let root = tree(&[
            ("card0/device/vendor", "0x10de\n"),
            ("card1-DP-1/device/vendor", "0x1002\n"),
            ("card1/device/vendor", "0x1002\n"),
            ("card1/device/product_name", "Radeon RX 7900 XTX\n"),
            ("card1/device/power/runtime_status", "active\n"),
            ("card1/device/mem_info_vram_total", "25753026560\n"),
            ("card1/device/mem_info_vram_used", "1073741824\n"),
            ("card1/device/gpu_busy_percent", "37\n"),
            ("card1/device/hwmon/hwmon3/temp1_input", "54000\n"),
            ("card1/device/hwmon/hwmon3/power1_average", "91500000\n"),
            ("card1/device/current_link_speed", "2.5 GT/s PCIe\n"),
            ("card1/device/current_link_width", "8\n"),
            ("card1/device/max_link_speed", "16.0 GT/s PCIe\n"),
            ("card1/device/max_link_width", "16\n"),
        ]);
        let card = Card {
            name: "Radeon RX 7900 XTX".to_owned(),
            total: Bytes(25_753_026_560),
            used: Bytes(1 << 30),
            free: Bytes(25_753_026_560 - (1 << 30)),
            utilisation: Some(37),
            temperature: Some(54),
            power: Some(91.5),
            pcie: Some(Pcie { generation: 1, width: 8, max_generation: 4, max_width: 16 }),
            ..Card::default()
        };
        assert_eq!(Amd::new(root.path()).read(), Cards::Known(vec![card]));
    }

    #[test]
    fn a_sleeping_card_is_not_asked() {
        let root = tree(&[
            ("card0/device/vendor", "0x1002\n"),
            ("card0/device/device", "0x744c\n"),
            ("card0/device/power/runtime_status", "suspended\n"),
            ("card0/device/mem_info_vram_total", "25753026560\n"),
        ]);
        let asleep = Card { name: "AMD 0x744c".to_owned(), asleep: true, ..Card::default() };
        assert_eq!(Amd::new(root.path()).read(), Cards::Known(vec![asleep]));
    }

    #[test]
    fn missing_and_broken_files_are_nothing_said() {
        let root = tree(&[
            ("card0/device/vendor", "0x1002\n"),
            ("card0/device/product_name", "evil\u{1b}[31m\n"),
            ("card0/device/mem_info_vram_total", "many\n"),
            ("card0/device/mem_info_vram_used", "99999999999999999999999\n"),
            ("card0/device/gpu_busy_percent", "250\n"),
            ("card0/device/current_link_speed", "Unknown\n"),
        ]);
        let card = Card { name: "evil\u{fffd}[31m".to_owned(), utilisation: Some(100), ..Card::default() };
        assert_eq!(Amd::new(root.path()).read(), Cards::Known(vec![card]));
    }

    #[test]
    fn no_card_has_a_reason() {
        assert_eq!(Amd::new(Path::new("/nowhere")).read(), Cards::Unknown("no AMD card".to_owned()));
    }
}
