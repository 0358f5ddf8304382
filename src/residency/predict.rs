//! Predictions: how long a model takes to be in VRAM from where its bytes are now, learned from loads before.

mod fit;

use std::time::Duration;

use self::fit::{PRICES, Point, prices};
use super::bytes::Bytes;
use super::host::LoadMode;
use super::name::ModelName;
use super::record::{Past, SwapRecord};
use super::swap::{Ended, Way};

/// A prediction: never a measurement, so it is shown with `~`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// From asking to ready.
    pub took: Duration,
    /// How far such predictions were off lately, as a share of what was measured (0.1 is 10 %, the median); `None`
    /// until there is one to compare with.
    pub error: Option<f64>,
}

/// What is asked: how long from here?
#[derive(Debug, Clone, Copy)]
pub struct Where<'a> {
    /// Which model.
    pub model: &'a ModelName,
    /// All its files.
    pub whole: Bytes,
    /// Of them in RAM; `None` where that cannot be read.
    pub ram: Option<Bytes>,
    /// Something has to leave VRAM for it.
    pub displaces: bool,
    /// How its files would be read ahead; `None` is the way that was fastest here.
    pub way: Option<Way>,
}

/// Loads that prices are learned from: disks and drivers change, so the latest.
const LATEST: usize = 60;
/// Fewer loads of one load mode teach nothing of their own: then all loads are taken together.
const ENOUGH: usize = 3;
/// As many of the latest loads say how far predictions were off.
const CHECKED: usize = 20;
/// As many of a model's own latest loads of a kind say how it differs from the prices: a disk that has changed is
/// believed after a few.
const OWN: usize = 5;
/// What each load counts beside the next newer one, for the same reason.
const FADES: f64 = 0.93;
/// The same of a model's own.
const SETTLES: f64 = 0.6;
/// What others' loads count, timed by watching, beside our own.
const WATCHED: f64 = 0.5;

/// What loads before taught.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learned {
    /// Newest first.
    loads: Vec<Load>,
    /// By load mode; the last one, without a mode, is of all.
    fits: Vec<(Option<LoadMode>, [f64; PRICES])>,
    /// The median of what unloading before a load took, in seconds.
    unload: Option<f64>,
    error: Option<f64>,
}

/// One load that went well, in GB and seconds.
#[derive(Debug, Clone, PartialEq)]
struct Load {
    model: ModelName,
    mode: LoadMode,
    way: Way,
    ours: bool,
    whole: f64,
    /// `None` where RAM could not be read.
    disk: Option<f64>,
    seconds: f64,
    unload: Option<f64>,
}

impl Learned {
    /// Learns from the journal's loads.
    pub fn of(past: &Past) -> Learned {
        let loads: Vec<Load> = past.swaps.iter().filter_map(|(_, swap)| Load::of(swap)).collect();
        let mut off: Vec<f64> = (0..loads.len().min(CHECKED))
            .filter_map(|at| {
                // What would have been said before it was measured.
                let load = &loads[at];
                let said = Learned::of_loads(&loads[at + 1..]).seconds(&load.asked())?;
                let took = load.seconds + load.unload.unwrap_or(0.0);
                Some((said - took).abs() / took)
            })
            .collect();
        Learned { error: median(&mut off), ..Learned::of_loads(&loads) }
    }

    fn of_loads(loads: &[Load]) -> Learned {
        let points = |mode: Option<LoadMode>| -> Vec<Point> {
            let of_mode = loads.iter().filter(|load| load.is_like(mode));
            let points = of_mode.filter_map(Load::point).take(LATEST);
            let fade = std::iter::successors(Some(1.0), |weight| Some(weight * FADES));
            points.zip(fade).map(|(point, fade)| Point { weight: point.weight * fade, ..point }).collect()
        };
        let mut fits: Vec<(Option<LoadMode>, [f64; PRICES])> = Vec::new();
        for load in loads {
            let mode = Some(load.mode);
            if load.mode != LoadMode::Unknown && fits.iter().all(|(known, _)| *known != mode) {
                let points = points(mode);
                if points.len() >= ENOUGH {
                    fits.push((mode, prices(&points)));
                }
            }
        }
        fits.push((None, prices(&points(None))));
        let mut unloads: Vec<f64> = loads.iter().take(LATEST).filter_map(|load| load.unload).collect();
        Learned { fits, unload: median(&mut unloads), loads: loads.to_vec(), error: None }
    }

    /// How long it takes from there; `None` where no such load was seen.
    pub fn predict(&self, from: &Where<'_>) -> Option<Prediction> {
        let asked = Asked {
            model: from.model,
            whole: from.whole.gb(),
            disk: from.ram.map(|ram| from.whole.minus(ram).gb()),
            displaces: from.displaces,
            way: from.way,
        };
        let took = Duration::try_from_secs_f64(self.seconds(&asked)?).ok()?;
        Some(Prediction { took, error: self.error })
    }

    fn seconds(&self, asked: &Asked<'_>) -> Option<f64> {
        let unload = if asked.displaces { self.unload.unwrap_or(0.0) } else { 0.0 };
        let load = match asked.disk {
            Some(disk) => self.by_tiers(asked, disk)?,
            None => self.by_habit(asked.model)?,
        };
        Some(load + unload)
    }

    /// By the prices of what is where, corrected by how this model's own loads differed from them.
    fn by_tiers(&self, asked: &Asked<'_>, disk: f64) -> Option<f64> {
        let mut known = self.loads.iter().filter(|load| load.mode != LoadMode::Unknown);
        let own = known.clone().find(|load| load.model == *asked.model);
        let mode = own.or(known.next()).map(|load| load.mode);
        let (fitted, prices) = self.fits.iter().find(|(fitted, _)| *fitted == mode).or(self.fits.last())?;
        let like: Vec<&Load> = self.loads.iter().filter(|load| load.is_like(*fitted)).take(LATEST).collect();
        let share = share(disk, asked.whole);
        // A cold load is not guessed from warm ones, nor a warm one from cold ones.
        let seen = |is: fn(f64) -> bool| like.iter().any(|load| load.disk_share().is_some_and(is));
        if share > 0.05 && !seen(|share| share >= 0.2) || share < 0.8 && !seen(|share| share <= 0.5) {
            return None;
        }
        let way = asked.way.filter(|way| is_seen(&like, *way)).unwrap_or_else(|| fastest(&like, prices));
        let own: Vec<&Load> = like.into_iter().filter(|load| load.model == *asked.model).collect();
        // What is paid in any case, and for the disk on top: each as this model's own loads of that kind paid it, so
        // that more on disk never takes less.
        let base = |load_whole: f64| price(prices, load_whole, 0.0, way);
        let warm = own.iter().filter(|load| load.disk_share().is_some_and(|share| share < 0.5));
        let warm = correction(
            warm.map(|load| load.seconds / price(prices, load.whole, load.disk.unwrap_or(0.0), load.way)),
        );
        let cold = own.iter().filter(|load| load.disk_share().is_some_and(|share| share >= 0.5));
        let cold = correction(cold.map(|load| {
            let on_top = price(prices, load.whole, load.disk.unwrap_or(0.0), load.way) - base(load.whole);
            (load.seconds - warm * base(load.whole)) / on_top
        }));
        let on_top = price(prices, asked.whole, disk, way) - base(asked.whole);
        Some(warm * base(asked.whole) + cold * on_top)
    }

    /// Where RAM cannot be read: what the model's own loads took, if they all took about the same. If they did not,
    /// nobody can say whether the next one waits for the disk.
    fn by_habit(&self, model: &ModelName) -> Option<f64> {
        let own = self.loads.iter().filter(|load| load.model == *model && load.disk.is_none());
        let mut seconds: Vec<f64> = own.take(5).map(|load| load.seconds).collect();
        let median = median(&mut seconds)?;
        let alike = seconds.iter().all(|one| (one - median).abs() <= 0.25 * median);
        (seconds.len() >= ENOUGH && alike).then_some(median)
    }
}

/// One question, in GB.
struct Asked<'a> {
    model: &'a ModelName,
    whole: f64,
    disk: Option<f64>,
    displaces: bool,
    /// `None`, or one that was not seen of a cold load: the fastest that was.
    way: Option<Way>,
}

impl Load {
    fn of(swap: &SwapRecord) -> Option<Load> {
        let stages = &swap.stages;
        if swap.ended != Ended::Ready || swap.before.in_vram || swap.before.whole == Bytes::ZERO {
            return None;
        }
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let unload = seconds(stages.unload)
            .filter(|_| swap.displaced.as_ref().is_none_or(|displaced| !displaced.is_empty()));
        let read_first = if swap.way == Way::First { seconds(stages.read_took).unwrap_or(0.0) } else { 0.0 };
        let rest = || {
            // Of one of ours that has no time of its own, nobody can say how much of it was waiting for others.
            let total = stages.total.filter(|_| !swap.ours)?.as_secs_f64();
            Some(total - unload.unwrap_or(0.0) - seconds(stages.first_token).unwrap_or(0.0))
        };
        let seconds = seconds(stages.load).map(|load| load + read_first).or_else(rest)?;
        (seconds > 0.0).then(|| Load {
            model: swap.model.clone(),
            mode: swap.mode,
            way: swap.way,
            ours: swap.ours,
            whole: swap.before.whole.gb(),
            disk: swap.before.disk().map(Bytes::gb),
            seconds,
            unload,
        })
    }

    /// Whether it teaches something of loads in that mode; `None` is any. One whose runner was not seen may be of any.
    fn is_like(&self, mode: Option<LoadMode>) -> bool {
        mode.is_none_or(|mode| self.mode == mode || self.mode == LoadMode::Unknown)
    }

    fn point(&self) -> Option<Point> {
        let weight = if self.ours { 1.0 } else { WATCHED };
        Some(Point { amounts: amounts(self.whole, self.disk?, self.way), seconds: self.seconds, weight })
    }

    fn disk_share(&self) -> Option<f64> {
        self.disk.map(|disk| share(disk, self.whole))
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            model: &self.model,
            whole: self.whole,
            disk: self.disk,
            displaces: self.unload.is_some(),
            way: Some(self.way),
        }
    }
}

fn amounts(whole: f64, disk: f64, way: Way) -> [f64; PRICES] {
    let by = |one: Way| if way == one { disk } else { 0.0 };
    [1.0, whole, by(Way::Off), by(Way::First), by(Way::Beside)]
}

fn price(prices: &[f64; PRICES], whole: f64, disk: f64, way: Way) -> f64 {
    prices.iter().zip(amounts(whole, disk, way)).map(|(price, amount)| price * amount).sum()
}

/// Whether a load that waited for the disk was seen of that way: else its price is not known.
fn is_seen(loads: &[&Load], way: Way) -> bool {
    loads.iter().any(|load| load.way == way && load.disk_share().is_some_and(|share| share >= 0.2))
}

/// The way whose disk bytes cost least, of those that were seen.
fn fastest(loads: &[&Load], prices: &[f64; PRICES]) -> Way {
    let cost = |way: &Way| price(prices, 0.0, 1.0, *way);
    let seen = Way::ALL.into_iter().filter(|way| is_seen(loads, *way));
    seen.min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or_default()
}

/// By how much to correct a price: how much more was paid lately, newest first. Of one load half is believed, of
/// several nearly all.
fn correction(ratios: impl Iterator<Item = f64>) -> f64 {
    let ratios = ratios.filter(|ratio| ratio.is_finite()).take(OWN);
    let ratios: Vec<f64> = ratios.map(|ratio| ratio.max(0.1).ln()).collect();
    #[expect(clippy::cast_precision_loss, reason = "a count of at most five")]
    let trust = ratios.len() as f64 / (ratios.len() as f64 + 1.0);
    (lately(&ratios).unwrap_or(0.0) * trust).exp()
}

/// The middle one, where each value counts less than the newer one before it: one that is far off moves nothing, and
/// two of three newest settle it.
fn lately(values: &[f64]) -> Option<f64> {
    let weights = std::iter::successors(Some(1.0), |weight| Some(weight * SETTLES));
    let mut weighted: Vec<(f64, f64)> = values.iter().copied().zip(weights).collect();
    weighted.sort_by(|one, other| one.0.total_cmp(&other.0));
    let half = weighted.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    weighted.into_iter().find_map(|(value, weight)| {
        sum += weight;
        (sum >= half).then_some(value)
    })
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The middle one, the mean of the two middle ones; sorts them.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) })
}

#[cfg(test)]
mod tests;
