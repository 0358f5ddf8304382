//! Layers and effects: what lies over the screen, and what a key makes the loop do.

use super::Prompt;
use crate::config::Workflow;
use crate::engine::flow::Control;
use crate::residency::act::ActKind;
use crate::residency::name::ModelName;
use crate::residency::swap::Wish;
use crate::tui::{Outcome, Proposal};

/// What lies over the screen and takes the keys.
#[derive(Debug, Clone)]
pub(crate) enum Layer {
    /// Nothing.
    None,
    /// The help page, scrolled down so far.
    Help(usize),
    /// The proposed config, scrolled down so far.
    Setup(Proposal, usize),
    /// The workflows to choose from; the one with this number is selected.
    Flows(usize),
    /// The latest swaps, scrolled down so far.
    History(usize),
    /// What is wrong, scrolled down so far.
    Findings(usize),
    /// How long models are idle and what follows, scrolled down so far.
    Tuning(usize),
    /// The columns to choose from; the one with this number is selected.
    Columns(usize),
    /// A question.
    Ask(Ask),
    /// A line of text.
    Prompt(Prompt),
}

/// A question and what a yes does.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) question: String,
    pub(crate) then: Effect,
}

impl Effect {
    /// Whether the engine, or what runs beside the keys, is asked for something.
    pub(super) fn is_for_the_engine(&self) -> bool {
        !matches!(
            self,
            Effect::Server(_)
                | Effect::Mouse(_)
                | Effect::Redraw
                | Effect::Suspend
                | Effect::Leave(_)
                | Effect::WriteListed(..)
        )
    }
}

/// What the loop is to do outside of the screen.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the engine for an act.
    Act(ActKind, ModelName),
    /// Ask the engine for the same act on several models.
    Acts(ActKind, Vec<ModelName>),
    /// Ask the engine for a swap, with what else is asked of it.
    Swap(ModelName, Wish),
    /// Run this workflow.
    Flow(Workflow),
    /// Tell the workflow that runs.
    Control(Control),
    /// Measure that model's loads, cold and warm.
    Bench(ModelName),
    /// Run this workflow cold, warm and with lookahead.
    Compare(Workflow),
    /// The preload list is these models from now on.
    List(Vec<ModelName>),
    /// Write into the user's config that the model is on the preload list, or no longer.
    WriteListed(ModelName, bool),
    /// Cancel what runs or waits for a model.
    Cancel(ModelName),
    /// Cancel everything, the workflow that runs too.
    CancelAll,
    /// Stop all that acts by itself here, or let it go on.
    HandsOff(bool),
    /// Look at the server at this place of the list.
    Server(usize),
    /// Take the mouse, or leave it to the terminal.
    Mouse(bool),
    /// Draw everything again.
    Redraw,
    /// Give the terminal back and stop.
    Suspend,
    /// End the screen.
    Leave(Outcome),
}
