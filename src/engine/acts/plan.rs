//! The plan of a load or a swap: what must go, what stays, where its bytes are, and whether they are read ahead.

use crate::engine::known::Known;
use crate::residency::act::ActKind;
use crate::residency::bytes::Bytes;
use crate::residency::host::LoadMode;
use crate::residency::name::ModelName;
use crate::residency::snapshot::{Model, State};
use crate::residency::swap::{Before, Plan, Way, Wish};
use crate::residency::timing::Moment;
use crate::residency::way::{choose, needs_disk};

/// Makes the plan from what is known now; `models` are those of the latest snapshot, with their forecasts.
pub(super) fn plan(model: &ModelName, wish: &Wish, known: &Known, models: &[Model]) -> Plan {
    let foreseen = victims(model, models);
    let is_foreseen = foreseen.is_some() || known.running_as(model).is_some();
    let goes = foreseen.unwrap_or_default();
    let stays = |name: &&ModelName| {
        // Where nothing can be foreseen, what stays is the server's choice.
        is_foreseen && !known.are_one(name, model) && !goes.contains(name)
    };
    let stays = known.runs().map(|(name, _)| name).filter(stays).cloned().collect();
    let server_chooses = !is_foreseen && known.runs().next().is_some();
    let before = before(model, known);
    let mode = known.load_mode(model);
    let way = match wish.way {
        // Reading is for nothing where all is there already, or where RAM makes no load faster.
        Some(_) if mode == LoadMode::Direct || (before.ram.is_some() && !needs_disk(&before)) => Way::Off,
        Some(way) => way,
        None => choose(&known.past.swaps, mode, &before),
    };
    let num_ctx = wish.num_ctx.or_else(|| known.context_for(model));
    Plan { goes, server_chooses, stays, way, before, num_ctx }
}

/// Whether it is still to be heard what loads before took, and that matters: its files may have to be read ahead.
pub(super) fn lacks_past(model: &ModelName, wish: &Wish, known: &Known, now: Moment) -> bool {
    let is_due = known.past_by.is_some_and(|by| now.mono < by.mono);
    is_due && wish.way.is_none() && needs_disk(&before(model, known))
}

/// What the forecast names; `None` where nothing can be foreseen.
pub(in crate::engine) fn victims(model: &ModelName, models: &[Model]) -> Option<Vec<ModelName>> {
    let model = models.iter().find(|known| known.name == *model)?;
    model.forecast.as_ref().map(|forecast| forecast.evicts.clone())
}

fn before(model: &ModelName, known: &Known) -> Before {
    let files: Bytes = known.blobs(model).iter().map(|blob| blob.size).sum();
    let listed = known.installed.get(model).map(|installed| installed.size).unwrap_or_default();
    let cached = known.cached(model).0;
    Before {
        whole: if files > Bytes::ZERO { files } else { listed },
        in_vram: known.runs_as(model).is_some() && !known.is_missed(model),
        ram: cached.bytes(),
        estimate: cached.is_estimate(),
    }
}

/// Why the plan must not be carried out: it would displace a pinned or busy model that nobody was asked about. `agreed`
/// is what the forecast said when it was asked for; `None` if it said nothing, and then all at stake were named.
pub(super) fn objection(
    (kind, model): (ActKind, &ModelName),
    plan: &Plan,
    wish: &Wish,
    agreed: Option<&[ModelName]>,
    models: &[Model],
) -> Option<String> {
    let precious = |name: &&ModelName| {
        let model = models.iter().find(|model| model.name == **name)?;
        trouble(model).map(|trouble| format!("{name}, which is {trouble}"))
    };
    let is_agreed = |name: &&ModelName| !wish.spare && agreed.is_none_or(|agreed| agreed.contains(name));
    // Nobody agreed to what cannot be foreseen.
    let unforeseen = wish.spare && !plan.before.in_vram && victims(model, models).is_none();
    let at_risk: Vec<&ModelName> = if unforeseen {
        models.iter().map(|model| &model.name).collect()
    } else {
        plan.goes.iter().collect()
    };
    let at_stake = at_risk.iter().filter(|name| !is_agreed(name)).find_map(precious)?;
    Some(if unforeseen {
        format!("what the server would evict cannot be foreseen; at stake is {at_stake}")
    } else if wish.spare {
        format!("it would displace {at_stake}")
    } else {
        format!("by now it would displace {at_stake}: {} again to go on", kind.verb())
    })
}

/// The models at work that go for the plan, or may go where the server chooses: the load waits for their work to end.
pub(super) fn waits_for(plan: &Plan, models: &[Model]) -> Vec<ModelName> {
    let may_go = |model: &&Model| plan.server_chooses || plan.goes.contains(&model.name);
    let works = |model: &&Model| trouble(model) == Some("busy");
    models.iter().filter(may_go).filter(works).map(|model| model.name.clone()).collect()
}

/// What makes a loaded model one to ask about.
fn trouble(model: &Model) -> Option<&'static str> {
    model.loaded.as_ref()?;
    match model.state {
        State::Busy | State::BusyOrUnloading => Some("busy"),
        State::Ghost | State::Unloading => None,
        _ => model.pin_word(),
    }
}
