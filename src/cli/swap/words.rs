//! How a swap ended: its line for a person, and its object for a script.

use std::time::Duration;

use serde_json::{Value, json as object};

use super::After;
use crate::cli::act::ending::Ending;
use crate::cli::status::{script_name, seconds};
use crate::residency::act::ActKind;
use crate::residency::name::ModelName;
use crate::residency::swap::{Stages, Swapping, Way};

/// The line for a person: the whole time, then what each stage took; `?` is one that was not seen.
pub(super) fn line(model: &ModelName, took: Duration, after: &After) -> String {
    let took = took.as_secs_f64();
    let Some(swap) = &after.swap else {
        let did = match after.first_token {
            Some(token) => format!("first token in {:.2} s", token.as_secs_f64()),
            None => format!("touched in {took:.2} s"),
        };
        return format!("{model} is in VRAM already   {did}");
    };
    let Stages { waited, unload, card_free, read, read_took, load, server_load, first_token, .. } =
        swap.stages;
    let mut words = vec![format!("{model} ready in {took:.2} s")];
    let seconds = |time: Duration| format!("{:.2}", time.as_secs_f64());
    words.extend(waited.map(|waited| format!("waited {}", seconds(waited))));
    if let Some(unload) = unload {
        words.push(format!("unload {}", seconds(unload)));
        words.push(format!("card free {}", card_free.map_or_else(|| "?".to_owned(), seconds)));
    }
    words.extend(from_disk(swap));
    words.push(match (read, read_took) {
        (Some(read), Some(took)) if read.0 > 0 => format!("read ahead {read} in {}", seconds(took)),
        _ => "read ahead 0".to_owned(),
    });
    words.extend(load.map(|load| format!("load {}", seconds(load))));
    words.extend(server_load.map(|load| format!("by the server's clock {}", seconds(load))));
    words.extend(first_token.map(|token| format!("first token {}", seconds(token))));
    words.join("   ")
}

/// What came from the disk during the load; nothing where all was in RAM, or that is not known.
fn from_disk(swap: &Swapping) -> Option<String> {
    // What was not in RAM came from there during the load, our own reading included.
    let disk = swap.plan.before.disk().filter(|disk| disk.0 > 0 && swap.plan.way != Way::First)?;
    let load = swap.stages.load?;
    let rate = disk.gb() / load.as_secs_f64();
    Some(format!("from disk ~{disk} at ~{rate:.1} GB/s"))
}

/// Where a load's bytes came from, with the rate; `None` where that is not known.
pub(in crate::cli) fn read_from(swap: &Swapping) -> Option<String> {
    let from_ram = || swap.plan.before.disk().filter(|disk| disk.0 == 0).map(|_| "from RAM".to_owned());
    let Stages { read, read_took, .. } = swap.stages;
    let ahead = || {
        let (read, took) = read.filter(|read| read.0 > 0).zip(read_took)?;
        Some(format!(
            "read ahead {read} in {:.2} s, {:.1} GB/s",
            took.as_secs_f64(),
            read.gb() / took.as_secs_f64()
        ))
    };
    ahead().or_else(|| from_disk(swap)).or_else(from_ram)
}

/// Models' names for a script; null where they are not known.
pub(in crate::cli) fn names(models: Option<&[ModelName]>) -> Value {
    models.map(|models| models.iter().map(script_name).collect::<Vec<_>>()).into()
}

/// The object for a script.
pub(super) fn json(ending: &Ending, model: &ModelName, after: &After, rests: &[ModelName]) -> Value {
    let mut answer = ending.json(ActKind::Swap, model);
    answer["displaced"] = names(after.displaced.as_deref());
    if let Some(left) = &after.left {
        answer["left"] = left.as_str().into();
    }
    let Some(Swapping { plan, stages, .. }) = after.swap.as_deref() else {
        answer["already"] = matches!(ending, Ending::Done { .. }).into();
        if let Some(token) = after.first_token {
            answer["first_token_seconds"] = seconds(token);
        }
        return answer;
    };
    let time = |time: Option<Duration>| time.map_or(Value::Null, seconds);
    answer["already"] = false.into();
    // Pinned models that went for it: they come back with the swap back.
    answer["rests"] = names(Some(rests));
    answer["plan"] = object!({
        "goes": names(Some(&plan.goes)),
        "server_chooses": plan.server_chooses,
        "stays": names(Some(&plan.stays)),
        "warm": plan.way.word(),
        "num_ctx": plan.num_ctx,
        "size_bytes": plan.before.whole,
        "ram_bytes": plan.before.ram,
        "ram_estimate": plan.before.estimate,
        "in_vram": plan.before.in_vram,
    });
    answer["stages"] = object!({
        "waited_seconds": time(stages.waited),
        "unload_seconds": time(stages.unload),
        "gone_seconds": time(stages.gone),
        "card_free_seconds": time(stages.card_free),
        "read_bytes": stages.read,
        "read_seconds": time(stages.read_took),
        "load_seconds": time(stages.load),
        "server_load_seconds": time(stages.server_load),
        "first_token_seconds": time(stages.first_token),
        "total_seconds": time(stages.total),
    });
    answer
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::residency::bytes::{Bytes, GB};
    use crate::residency::swap::{Before, Ended, Plan};

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn swapping(stages: Stages) -> Swapping {
        let before = Before { whole: Bytes(5 * GB), ram: Some(Bytes(GB)), ..Before::default() };
        let goes = vec![ModelName::from_server("old:7b")];
        let plan = Plan { goes, before, ..Plan::default() };
        Swapping { plan, stages, stage: None, ended: Some(Ended::Ready), went: Some(Vec::new()) }
    }

    fn after(swap: Swapping) -> After {
        After { swap: Some(Arc::new(swap)), ..After::default() }
    }

    fn qwen() -> ModelName {
        ModelName::from_server("qwen2.5-coder:7b")
    }

    #[test]
    fn the_line_says_what_each_stage_took_and_marks_what_was_not_seen() {
        let took = Duration::from_millis(820);
        let swap = swapping(Stages {
            unload: Some(ms(140)),
            card_free: Some(ms(210)),
            load: Some(ms(380)),
            first_token: Some(ms(90)),
            ..Stages::default()
        });
        assert_eq!(
            line(&qwen(), took, &after(swap)),
            "qwen2.5-coder:7b ready in 0.82 s   unload 0.14   card free 0.21   \
             from disk ~4.0 GB at ~10.5 GB/s   read ahead 0   load 0.38   first token 0.09"
        );
        let queued = swapping(Stages {
            waited: Some(ms(960)),
            load: Some(ms(80)),
            total: Some(ms(1040)),
            ..Stages::default()
        });
        let told = line(&qwen(), ms(1040), &after(queued));
        assert!(told.starts_with("qwen2.5-coder:7b ready in 1.04 s   waited 0.96   "), "{told}");
        let read = (Some(Bytes(4 * GB)), Some(ms(2000)));
        let unseen =
            swapping(Stages { unload: Some(ms(140)), read: read.0, read_took: read.1, ..Stages::default() });
        assert_eq!(
            line(&qwen(), took, &after(unseen)),
            "qwen2.5-coder:7b ready in 0.82 s   unload 0.14   card free ?   read ahead 4.0 GB in 2.00"
        );
        let touched = After::nothing();
        assert_eq!(line(&qwen(), took, &touched), "qwen2.5-coder:7b is in VRAM already   touched in 0.82 s");
        let spoke = After { first_token: Some(ms(90)), ..touched };
        assert_eq!(
            line(&qwen(), took, &spoke),
            "qwen2.5-coder:7b is in VRAM already   first token in 0.09 s"
        );
        let done = Ending::Done { took, note: None, facts: None };
        assert_eq!(json(&done, &qwen(), &spoke, &[])["first_token_seconds"], 0.09);
    }

    #[test]
    fn a_script_gets_the_plan_and_every_stage() {
        let done = Ending::Done { took: Duration::from_millis(820), note: None, facts: None };
        let swap = swapping(Stages { load: Some(ms(380)), ..Stages::default() });
        let after = after(swap);
        let told = json(&done, &qwen(), &after, &[]);
        assert_eq!(told["took_seconds"], 0.82);
        assert_eq!((&told["plan"]["goes"][0], &told["plan"]["warm"]), (&"old:7b".into(), &"off".into()));
        assert_eq!(
            (&told["stages"]["load_seconds"], &told["stages"]["gone_seconds"]),
            (&0.38.into(), &Value::Null)
        );
        assert_eq!(told["displaced"], Value::Null, "nobody knows");
        let touched = json(&done, &qwen(), &After::nothing(), &[]);
        assert_eq!((&touched["already"], touched.get("plan")), (&true.into(), None));
        assert_eq!(touched["displaced"], object!([]));
        let why = "cancelled while loading: old:7b is unloaded, nothing is loaded";
        let displaced = Some(vec![ModelName::from_server("old:7b")]);
        let after = After { displaced, left: Some(why.to_owned()), ..after };
        let cancelled = json(&Ending::Interrupted, &qwen(), &after, &[]);
        assert_eq!((&cancelled["displaced"], &cancelled["left"]), (&object!(["old:7b"]), &why.into()));
    }
}
