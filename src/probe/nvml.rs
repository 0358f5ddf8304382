//! NVIDIA's cards, by the driver's own library (NVML). Each question may fail alone; a failure is a value.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use nvml_wrapper::enum_wrappers::device::{PcieUtilCounter, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device, Nvml};

use super::amd::text;
use super::gpu::CardSource;
use crate::residency::bytes::Bytes;
use crate::residency::host::{Card, CardProcess, Cards, Pcie};
use crate::residency::text::printable;

/// Where the library is found: by the loader, or on WSL2 in a place that the loader may not know.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"];
/// After a failed start the library is tried again only this many readings later: it may run a set-uid helper.
const RETRY: u32 = 30;
/// The receive rate blocks the driver for 20 ms, so it is asked only every so many readings.
const RATE: u64 = 5;

/// NVML, started when it is first read and again after it was lost.
pub struct Nvidia {
    libraries: Vec<OsString>,
    sys: PathBuf,
    driver: Driver,
    turn: u64,
    /// What was learned of a card, by its PCI address; it still holds while the card sleeps.
    known: HashMap<String, Known>,
}

enum Driver {
    Running(Box<Nvml>),
    Down { why: String, readings: u32 },
}

#[derive(Clone, Default)]
struct Known {
    name: String,
    total: Bytes,
    receive_rate: Option<Bytes>,
}

impl Nvidia {
    /// The installed driver's library; `sys` is `/sys`.
    pub fn installed(sys: &Path) -> Nvidia {
        Nvidia::at(LIBRARIES.iter().map(OsString::from).collect(), sys)
    }

    /// The first of these libraries that loads.
    pub fn at(libraries: Vec<OsString>, sys: &Path) -> Nvidia {
        let driver = Driver::Down { why: String::new(), readings: 0 };
        Nvidia { libraries, sys: sys.to_owned(), driver, turn: 0, known: HashMap::new() }
    }

    /// Starts the library if it is not running and it is time to try.
    fn start(&mut self) -> Result<(), String> {
        let Driver::Down { why, readings } = &mut self.driver else { return Ok(()) };
        if *readings > 0 {
            *readings -= 1;
            return Err(why.clone());
        }
        let mut why = "no NVIDIA driver".to_owned();
        for library in &self.libraries {
            match Nvml::builder().lib_path(library).init() {
                Ok(nvml) => {
                    self.driver = Driver::Running(Box::new(nvml));
                    return Ok(());
                }
                Err(NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound) => {}
                Err(error) => why = reason(&error),
            }
        }
        Err(self.lost(why))
    }

    /// Lets the library go, so that a reloaded driver is found by a fresh start.
    fn lost(&mut self, why: String) -> String {
        self.driver = Driver::Down { why: why.clone(), readings: RETRY - 1 };
        why
    }
}

impl CardSource for Nvidia {
    fn read(&mut self) -> Cards {
        let present = present(&self.sys);
        if !present.is_empty() && present.iter().all(|(_, asleep)| *asleep) {
            // Even starting the library would wake them.
            return Cards::Known(
                present.iter().map(|(address, _)| asleep(self.known.get(address))).collect(),
            );
        }
        if let Err(why) = self.start() {
            return Cards::Unknown(why);
        }
        let with_rate = self.turn.is_multiple_of(RATE);
        self.turn += 1;
        let Driver::Running(nvml) = &self.driver else { return Cards::Unread };
        match cards(nvml, &present, &mut self.known, with_rate) {
            Ok(cards) => Cards::Known(cards),
            Err(error) => Cards::Unknown(self.lost(reason(&error))),
        }
    }
}

/// NVIDIA's display devices by PCI address, and whether each sleeps. None on WSL2.
fn present(sys: &Path) -> Vec<(String, bool)> {
    let mut found: Vec<(String, bool)> = fs::read_dir(sys.join("bus/pci/devices"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let device = entry.path();
            let ours = text(&device, "vendor")? == "0x10de" && text(&device, "class")?.starts_with("0x03");
            let asleep = text(&device, "power/runtime_status").as_deref() == Some("suspended");
            ours.then_some((entry.file_name().into_string().ok()?.to_ascii_lowercase(), asleep))
        })
        .collect();
    found.sort();
    found
}

/// What can be said of a card without waking it.
fn asleep(known: Option<&Known>) -> Card {
    let known = known.cloned().unwrap_or_default();
    let name = if known.name.is_empty() { "NVIDIA card".to_owned() } else { known.name };
    // What programs held is not there while the card sleeps: without a known total nothing can be said of it.
    Card { name, total: known.total, free: known.total, asleep: true, ..Card::default() }
}

/// All cards; an error only where none could be read.
fn cards(
    nvml: &Nvml,
    present: &[(String, bool)],
    known: &mut HashMap<String, Known>,
    with_rate: bool,
) -> Result<Vec<Card>, NvmlError> {
    let mut read = Vec::new();
    if present.iter().any(|(_, asleep)| *asleep) {
        // By address, since asking by index would wake the sleepers.
        for (address, sleeps) in present {
            if *sleeps {
                read.push(Ok(asleep(known.get(address))));
                continue;
            }
            match nvml.device_by_pci_bus_id(address.as_str()) {
                // Bound to another driver, or hidden from this container.
                Err(NvmlError::NotFound | NvmlError::NoPermission) => {}
                Err(error) => read.push(Err(error)),
                Ok(device) => read.push(card(&device, address, known, with_rate)),
            }
        }
    } else {
        for index in 0..nvml.device_count()?.min(64) {
            read.push(nvml.device_by_index(index).and_then(|device| {
                let address = device.pci_info().map(|pci| address(&pci.bus_id));
                card(&device, &address.unwrap_or_else(|_| index.to_string()), known, with_rate)
            }));
        }
    }
    let (cards, errors): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
    match errors.into_iter().next() {
        Some(Err(error)) if cards.is_empty() => Err(error),
        _ => Ok(cards.into_iter().flatten().collect()),
    }
}

/// NVML's `00000000:01:00.0` as sysfs writes it.
fn address(bus_id: &str) -> String {
    let bus_id = bus_id.to_ascii_lowercase();
    match bus_id.split_once(':') {
        Some((domain, rest)) if domain.len() == 8 => format!("{}:{rest}", &domain[4..]),
        _ => bus_id,
    }
}

/// One card; an error only if it is gone, for all else that fails is nothing said.
fn card(
    device: &Device<'_>,
    address: &str,
    known: &mut HashMap<String, Known>,
    with_rate: bool,
) -> Result<Card, NvmlError> {
    let known = known.entry(address.to_owned()).or_default();
    if known.name.is_empty()
        && let Some(name) = said(device.name())?
    {
        known.name = printable(name.trim()).chars().take(64).collect();
    }
    let memory = device.memory_info();
    // Cards that share the machine's RAM have no memory of their own to tell of.
    let unified = matches!(memory, Err(NvmlError::NotSupported));
    let memory = said(memory)?;
    let of_memory = |field: fn(&nvml_wrapper::struct_wrappers::device::MemoryInfo) -> u64| {
        Bytes(memory.as_ref().map_or(0, field))
    };
    known.total = of_memory(|memory| memory.total);
    if with_rate {
        let kilobytes = said(device.pcie_throughput(PcieUtilCounter::Receive))?;
        known.receive_rate = kilobytes.map(|rate| Bytes(u64::from(rate) * 1000));
    }
    let utilisation = said(device.utilization_rates())?;
    Ok(Card {
        name: if known.name.is_empty() { "NVIDIA card".to_owned() } else { known.name.clone() },
        total: known.total,
        used: of_memory(|memory| memory.used),
        free: of_memory(|memory| memory.free),
        utilisation: utilisation.and_then(|rates| u8::try_from(rates.gpu.min(100)).ok()),
        temperature: said(device.temperature(TemperatureSensor::Gpu))?,
        power: said(device.power_usage())?.map(watts),
        pcie: pcie(device)?,
        receive_rate: known.receive_rate,
        processes: processes(device)?,
        asleep: false,
        unified,
    })
}

#[expect(clippy::cast_precision_loss, reason = "milliwatts of a card are far below 2^24 apart from rounding")]
fn watts(milliwatts: u32) -> f32 {
    milliwatts as f32 / 1000.0
}

fn pcie(device: &Device<'_>) -> Result<Option<Pcie>, NvmlError> {
    let now = (said(device.current_pcie_link_gen())?, said(device.current_pcie_link_width())?);
    let most = (said(device.max_pcie_link_gen())?, said(device.max_pcie_link_width())?);
    let ((Some(generation), Some(width)), (Some(max_generation), Some(max_width))) = (now, most) else {
        return Ok(None);
    };
    Ok(Some(Pcie { generation, width, max_generation, max_width }))
}

/// Processes that compute or draw; one that does both is told of twice, with the same memory.
fn processes(device: &Device<'_>) -> Result<Vec<CardProcess>, NvmlError> {
    let mut all: Vec<CardProcess> =
        [said(device.running_compute_processes())?, said(device.running_graphics_processes())?]
            .into_iter()
            .flatten()
            .flatten()
            .map(|ProcessInfo { pid, used_gpu_memory, .. }| {
                let used = match used_gpu_memory {
                    UsedGpuMemory::Used(bytes) => Some(Bytes(bytes)),
                    UsedGpuMemory::Unavailable => None,
                };
                CardProcess { pid, used }
            })
            .collect();
    // The larger of two answers first, and that one is kept.
    all.sort_by_key(|process| (process.pid, std::cmp::Reverse(process.used)));
    all.dedup_by_key(|process| process.pid);
    Ok(all)
}

/// The answer, `None` where the driver has none, an error only where the card or the driver is gone.
fn said<T>(answer: Result<T, NvmlError>) -> Result<Option<T>, NvmlError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(
            error @ (NvmlError::GpuLost
            | NvmlError::ResetRequired
            | NvmlError::Uninitialized
            | NvmlError::DriverNotLoaded
            | NvmlError::LibRmVersionMismatch),
        ) => Err(error),
        Err(_) => Ok(None),
    }
}

/// In a person's words.
fn reason(error: &NvmlError) -> String {
    match error {
        NvmlError::DriverNotLoaded => "the NVIDIA driver is not loaded".to_owned(),
        NvmlError::GpuLost => "the NVIDIA card fell off the bus".to_owned(),
        NvmlError::ResetRequired => "the NVIDIA card needs a reset".to_owned(),
        NvmlError::LibRmVersionMismatch => {
            "the NVIDIA driver was updated: reboot, or reload its module".to_owned()
        }
        NvmlError::FailedToLoadSymbol(_) => "the NVIDIA driver is too old".to_owned(),
        NvmlError::NoPermission => "no permission to ask the NVIDIA driver".to_owned(),
        // The library's own texts are fixed; only the loader's quote a path.
        other => printable(&format!("NVML: {other}")).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pci_address_is_written_as_sysfs_does() {
        assert_eq!(address("00000000:01:00.0"), "0000:01:00.0");
        assert_eq!(address("00000001:0A:00.0"), "0001:0a:00.0");
        assert_eq!(address("0000:01:00.0"), "0000:01:00.0");
        assert_eq!(address("nonsense"), "nonsense");
        assert_eq!(address("ééé é:1"), "ééé é:1");
    }
}
