//! The progress bar of an act that reads, on stderr while that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::residency::act::Act;
use crate::residency::name::ModelName;
use crate::residency::warm::Progress;

/// A bar that is there as long as there is progress to show.
pub(in crate::cli) struct Bar {
    name: String,
    quiet: bool,
    drawn: Option<ProgressBar>,
}

impl Bar {
    /// `quiet` draws nothing: who reads JSON wants no bar.
    pub(in crate::cli) fn new(model: &ModelName, quiet: bool) -> Bar {
        Bar { name: model.to_string(), quiet, drawn: None }
    }

    /// Shows how far the act is.
    pub(in crate::cli) fn show(&mut self, act: Option<&Act>) {
        let Some((act, progress)) = act.and_then(|act| Some((act, act.progress?))) else { return };
        if self.quiet || !act.is_running() {
            return;
        }
        let bar = self.drawn.get_or_insert_with(|| begin(&self.name, &progress));
        bar.set_position(progress.done().0);
        bar.set_message(words(&progress));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.drawn {
            bar.finish_and_clear();
        }
    }
}

/// Nothing is drawn where stderr is no terminal.
fn begin(name: &str, progress: &Progress) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(progress.total.0), ProgressDrawTarget::stderr_with_hz(10));
    if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {percent:>3} %  {msg}") {
        bar.set_style(style.progress_chars("▒▒░"));
    }
    bar.set_prefix(name.to_owned());
    bar
}

/// Bytes, rate and time left, as they were measured by the reader.
fn words(progress: &Progress) -> String {
    let done = format!("{} of {}", progress.done(), progress.total);
    if progress.paused {
        return format!("{done}   paused: a load reads the disk");
    }
    let rate = progress.rate.filter(|rate| rate.0 > 0);
    let rate = rate.map_or_else(String::new, |rate| format!("   {:.1} GB/s", rate.gb()));
    let left = progress.time_left().map(|left| format!("   {} s left", left.as_secs().max(1)));
    format!("{done}{rate}{}", left.unwrap_or_default())
}
