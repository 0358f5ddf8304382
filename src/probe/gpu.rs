//! The cards behind one face: NVIDIA's by NVML, else AMD's by sysfs, else the reason why there are none.

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::amd::Amd;
use super::nvml::Nvidia;
use super::watched::Watched;
use crate::residency::host::Cards;
use crate::residency::timing::Clock;

/// Something that can say what the cards hold; the demo's card is one too.
pub trait CardSource: Send {
    /// Reads all cards; what cannot be read is a value. May take long, or hang.
    fn read(&mut self) -> Cards;
}

/// Reads `source` on a thread of its own, every `period` or when woken.
pub fn spawn(
    mut source: Box<dyn CardSource>,
    clock: Clock,
    period: Duration,
    stop: CancellationToken,
) -> Watched<Cards> {
    let thread = Watched::spawn("probe-gpu", clock, period, stop, move || source.read());
    // No thread to be had: nothing is ever read, which is the truth.
    thread.unwrap_or_else(|_| Watched::silent())
}

/// The cards of this machine.
pub fn real() -> Box<dyn CardSource> {
    let sys = Path::new("/sys");
    Box::new(Either { nvidia: Box::new(Nvidia::installed(sys)), amd: Box::new(Amd::new(sys)) })
}

/// NVIDIA's cards if there are any, else AMD's: the processor's own AMD graphics beside an NVIDIA card is no place
/// for models.
struct Either {
    nvidia: Box<dyn CardSource>,
    amd: Box<dyn CardSource>,
}

impl CardSource for Either {
    fn read(&mut self) -> Cards {
        let nvidia = self.nvidia.read();
        if !nvidia.list().is_empty() {
            return nvidia;
        }
        match (nvidia, self.amd.read()) {
            (_, amd @ Cards::Known(_)) => amd,
            (Cards::Unknown(first), Cards::Unknown(second)) => Cards::Unknown(format!("{first}, {second}")),
            (nvidia, _) => nvidia,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::host::Card;

    struct Says(Cards);

    impl CardSource for Says {
        fn read(&mut self) -> Cards {
            self.0.clone()
        }
    }

    fn either(nvidia: Cards, amd: Cards) -> Cards {
        Either { nvidia: Box::new(Says(nvidia)), amd: Box::new(Says(amd)) }.read()
    }

    #[test]
    fn nvidia_goes_first_and_the_reasons_are_told_together() {
        let known = |name: &str| Cards::Known(vec![Card { name: name.to_owned(), ..Card::default() }]);
        let unknown = |why: &str| Cards::Unknown(why.to_owned());
        assert_eq!(either(known("rtx"), known("radeon")), known("rtx"));
        assert_eq!(either(unknown("no NVIDIA driver"), known("radeon")), known("radeon"));
        assert_eq!(either(Cards::Known(vec![]), known("radeon")), known("radeon"));
        assert_eq!(
            either(unknown("no NVIDIA driver"), unknown("no AMD card")),
            unknown("no NVIDIA driver, no AMD card")
        );
    }
}
