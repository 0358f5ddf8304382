//! What is said of a load or a swap that did not end well: what is loaded now, and how the old model comes back.

use crate::residency::name::ModelName;
use crate::residency::swap::Stage;

/// Why it failed, and how what it had unloaded is had again.
pub(super) fn offer(why: &str, displaced: &[ModelName]) -> String {
    let names = |between: &str| displaced.iter().map(ToString::to_string).collect::<Vec<_>>().join(between);
    if displaced.is_empty() {
        return why.to_owned();
    }
    format!("{why}; load {} again with l (or resident load {})", names(" and "), names(" "))
}

/// What a swap leaves behind that is cancelled in this stage.
pub(super) fn left(
    stage: Stage,
    model: &ModelName,
    displaced: &[&ModelName],
    stays: &[&ModelName],
) -> String {
    let names = |models: &[&ModelName]| models.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let are = |models: &[&ModelName]| if models.len() == 1 { "is" } else { "are" };
    let doing = doing(stage);
    match stage {
        Stage::Read => return format!("cancelled while {doing}: what was loaded still is"),
        Stage::FirstToken => return format!("cancelled while {doing}: {model} is loaded"),
        Stage::Unload | Stage::Wait | Stage::Load => {}
    }
    let rest = match stays {
        [] => "nothing is loaded".to_owned(),
        stays => format!("{} {} still loaded", names(stays), are(stays)),
    };
    match displaced {
        [] => format!("cancelled while {doing}: {rest}"),
        gone => format!("cancelled while {doing}: {} {} unloaded, {rest}", names(gone), are(gone)),
    }
}

/// The same where nobody can say what is loaded.
pub(super) fn unseen(stage: Stage) -> String {
    format!("cancelled while {}: what is still loaded shows at the next look", doing(stage))
}

fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Unload => "unloading",
        Stage::Read => "reading ahead",
        Stage::Wait => "waiting for a busy model",
        Stage::Load => "loading",
        Stage::FirstToken => "waiting for the first token",
    }
}
