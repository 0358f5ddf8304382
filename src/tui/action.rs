//! Every action once: its name in the config, its word in the footer, its sentence in the help, its default keys.

use std::fmt;

/// What a key can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table below says what each one does, in the words the user reads")]
pub enum Action {
    Down,
    Up,
    Top,
    Bottom,
    PageDown,
    PageUp,
    Swap,
    Load,
    Unload,
    Pin,
    Touch,
    KeepAlive,
    Warm,
    WarmAll,
    Hold,
    Drop,
    Listed,
    Cancel,
    CancelAll,
    HandsOff,
    PreviousServer,
    NextServer,
    /// Of the config's phases the one with this number, from 1.
    Phase(u8),
    Flows,
    History,
    Findings,
    Tune,
    Bench,
    Sort,
    Filter,
    NextPanel,
    PreviousPanel,
    Zoom,
    Freeze,
    Columns,
    Theme,
    Mouse,
    Setup,
    Demo,
    Redraw,
    Help,
    Back,
    Quit,
    Suspend,
    Pause,
    Skip,
    MarkFailed,
    CancelFlow,
    Yes,
    No,
    Accept,
    Dismiss,
    Erase,
    EraseAll,
    ScrollDown,
    ScrollUp,
    ScrollPageDown,
    ScrollPageUp,
    Choose,
    Toggle,
    Compare,
    Close,
}

/// What is on top and takes the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// The screen itself.
    Main,
    /// The panel of a workflow that runs has the keys; those it does not know are the screen's.
    Flow,
    /// A question is open.
    Confirm,
    /// Text is typed.
    Prompt,
    /// The help page or another page that is read.
    Page,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Context::Main => "main screen",
            Context::Flow => "workflow panel",
            Context::Confirm => "question",
            Context::Prompt => "prompt",
            Context::Page => "help and other pages",
        })
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Entry {
    /// Which action.
    pub action: Action,
    /// Where it applies.
    pub context: Context,
    /// Its name in the config.
    pub name: &'static str,
    /// Its word in the footer.
    pub word: &'static str,
    /// What it does.
    pub sentence: &'static str,
    /// The keys it has by default.
    pub keys: &'static [&'static str],
}

const fn entry(
    action: Action,
    context: Context,
    name: &'static str,
    word: &'static str,
    keys: &'static [&'static str],
    sentence: &'static str,
) -> Entry {
    Entry { action, context, name, word, sentence, keys }
}

/// All of them, in the order of the help page.
#[rustfmt::skip]
pub const ACTIONS: &[Entry] = {
    use Action as A;
    use Context::{Confirm, Flow, Main, Page, Prompt};
    &[
        entry(A::Swap, Main, "swap", "swap", &["enter"], "make it ready in VRAM; what must go for it goes"),
        entry(A::Load, Main, "load", "load", &["l"], "load it beside what is loaded"),
        entry(A::Unload, Main, "unload", "unload", &["u"], "take it out of VRAM"),
        entry(A::Pin, Main, "pin", "pin", &["p"], "keep it in VRAM, again if that was lost, or let go"),
        entry(A::Touch, Main, "touch", "touch", &["t"], "restart its keep_alive countdown"),
        entry(A::KeepAlive, Main, "keep_alive", "keep_alive", &["K"], "give it another keep_alive"),
        entry(A::Warm, Main, "warm", "warm", &["w"], "read its files into RAM: a load need not wait"),
        entry(A::WarmAll, Main, "warm_all", "warm list", &["W"], "read all models of the preload list into RAM"),
        entry(A::Hold, Main, "hold", "hold", &["h"], "keep it in RAM until it is released, or release it"),
        entry(A::Drop, Main, "drop", "drop", &["x"], "take its files out of RAM; asks first"),
        entry(A::Listed, Main, "listed", "list", &["a"], "put it on the preload list, or take it off"),
        entry(A::Cancel, Main, "cancel", "cancel", &["c"], "cancel what runs or waits for this model"),
        entry(A::CancelAll, Main, "cancel_all", "cancel all", &["C"], "cancel everything that runs or waits"),
        entry(A::HandsOff, Main, "hands_off", "hands off", &["H"], "stop what acts by itself here, or let it go on"),
        entry(A::PreviousServer, Main, "previous_server", "server", &["["], "look at the server before it in the list"),
        entry(A::NextServer, Main, "next_server", "server", &["]"], "look at the next server of the list"),
        entry(A::Phase(1), Main, "phase_1", "phase", &["1"], "make the model of the first phase ready"),
        entry(A::Phase(2), Main, "phase_2", "phase", &["2"], "make the model of the second phase ready"),
        entry(A::Phase(3), Main, "phase_3", "phase", &["3"], "make the model of the third phase ready"),
        entry(A::Phase(4), Main, "phase_4", "phase", &["4"], "make the model of the fourth phase ready"),
        entry(A::Phase(5), Main, "phase_5", "phase", &["5"], "make the model of the fifth phase ready"),
        entry(A::Phase(6), Main, "phase_6", "phase", &["6"], "make the model of the sixth phase ready"),
        entry(A::Phase(7), Main, "phase_7", "phase", &["7"], "make the model of the seventh phase ready"),
        entry(A::Phase(8), Main, "phase_8", "phase", &["8"], "make the model of the eighth phase ready"),
        entry(A::Phase(9), Main, "phase_9", "phase", &["9"], "make the model of the ninth phase ready"),
        entry(A::Flows, Main, "flows", "flow", &["f"], "choose a workflow and run it"),
        entry(A::History, Main, "history", "history", &["y"], "the latest swaps, and what VRAM, RAM and PCIe did"),
        entry(A::Findings, Main, "findings", "findings", &["!"], "what is wrong and what to do"),
        entry(A::Tune, Main, "tune", "tune", &["i"], "how long models are idle, and the keep_alive that follows"),
        entry(A::Bench, Main, "bench", "bench", &["b"], "measure its loads, cold and warm; asks first"),
        entry(A::Down, Main, "down", "down", &["j", "down"], "next model, or one line down"),
        entry(A::Up, Main, "up", "up", &["k", "up"], "previous model, or one line up"),
        entry(A::Top, Main, "top", "top", &["g", "home"], "first model"),
        entry(A::Bottom, Main, "bottom", "bottom", &["G", "end"], "last model"),
        entry(A::PageDown, Main, "page_down", "page down", &["pgdn"], "ten models down"),
        entry(A::PageUp, Main, "page_up", "page up", &["pgup"], "ten models up"),
        entry(A::Filter, Main, "filter", "filter", &["/"], "show only models whose name contains a text"),
        entry(A::Sort, Main, "sort", "sort", &["o"], "order by preload list, name or size"),
        entry(A::NextPanel, Main, "next_panel", "panel", &["tab"], "next panel: models, details, workflow, events"),
        entry(A::PreviousPanel, Main, "previous_panel", "panel back", &["shift-tab"], "previous panel"),
        entry(A::Zoom, Main, "zoom", "zoom", &["z"], "give the panel the whole screen, or show all panels"),
        entry(A::Freeze, Main, "freeze", "freeze", &["space"], "let the picture stand still; all goes on behind it"),
        entry(A::Columns, Main, "columns", "columns", &["v"], "choose the columns of the table"),
        entry(A::Theme, Main, "theme", "theme", &["T"], "other colours: the next theme"),
        entry(A::Mouse, Main, "mouse", "mouse", &["m"], "leave the mouse to the terminal, to select text, or take it"),
        entry(A::Setup, Main, "setup", "set up", &["I"], "propose a config from what is installed"),
        entry(A::Demo, Main, "demo", "demo", &["d"], "without a server: start the demo"),
        entry(A::Help, Main, "help", "help", &["?"], "this page"),
        entry(A::Back, Main, "back", "back", &["esc"], "leave the panel, clear the filter, close what has ended"),
        entry(A::Redraw, Main, "redraw", "redraw", &["ctrl-l"], "draw the whole screen again"),
        entry(A::Suspend, Main, "suspend", "suspend", &["ctrl-z"], "stop the program; fg brings it back"),
        entry(A::Quit, Main, "quit", "quit", &["q", "ctrl-c"], "leave; asks once while an act runs"),
        entry(A::Pause, Flow, "pause", "pause", &["space"], "begin nothing new, or go on"),
        entry(A::Skip, Flow, "skip", "skip", &["n"], "go on with the next step"),
        entry(A::MarkFailed, Flow, "mark_failed", "failed", &["F"], "mark this step's work as failed"),
        entry(A::CancelFlow, Flow, "cancel_flow", "cancel", &["c"], "end the workflow or the measurement"),
        entry(A::Yes, Confirm, "yes", "yes", &["y", "enter"], "do it"),
        entry(A::No, Confirm, "no", "no", &["n", "esc"], "leave it"),
        entry(A::Accept, Prompt, "accept", "accept", &["enter"], "take the text"),
        entry(A::Dismiss, Prompt, "dismiss", "leave", &["esc"], "leave without a change"),
        entry(A::Erase, Prompt, "erase", "erase", &["backspace"], "erase one character"),
        entry(A::EraseAll, Prompt, "erase_all", "erase all", &["ctrl-u"], "erase the whole text"),
        entry(A::ScrollDown, Page, "scroll_down", "down", &["j", "down"], "one line down"),
        entry(A::ScrollUp, Page, "scroll_up", "up", &["k", "up"], "one line up"),
        entry(A::ScrollPageDown, Page, "scroll_page_down", "page down", &["pgdn"], "ten lines down"),
        entry(A::ScrollPageUp, Page, "scroll_page_up", "page up", &["pgup"], "ten lines up"),
        entry(A::Choose, Page, "choose", "write", &["enter"], "write the proposed config, or run the workflow"),
        entry(A::Toggle, Page, "toggle", "show or hide", &["space"], "show the column or hide it"),
        entry(A::Compare, Page, "compare", "compare", &["b"], "run the workflow cold, warm and with lookahead"),
        entry(A::Close, Page, "close", "close", &["esc", "q", "?"], "close the page"),
    ]
};

impl Action {
    /// Its row of the table.
    pub fn entry(self) -> &'static Entry {
        ACTIONS.iter().find(|entry| entry.action == self).unwrap_or(&ACTIONS[0])
    }
}
