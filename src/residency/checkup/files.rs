//! The models' files: where they lie, who may read them, and whether the kernel says what of them is in RAM.

use super::{Check, ELSEWHERE, Topic, Verdict};
use crate::residency::snapshot::Server;
use crate::residency::tier::Cached;

/// Who may read the models' files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The permissions of the directory.
    pub mode: u32,
    /// Whose it is.
    pub owner: String,
    /// Its group.
    pub group: String,
    /// Files that may be read by us.
    pub readable: usize,
    /// Files that may not.
    pub refused: usize,
    /// Files that are not there.
    pub missing: usize,
}

/// Where they lie and who may read them.
pub(super) fn models(server: &Server, access: Option<&Access>) -> Check {
    if !server.local {
        return Check::unknown(Topic::Models, ELSEWHERE);
    }
    let Some(directory) = &server.models_dir else {
        let Some(why) = &server.models_dir_unknown else {
            return Check::unknown(Topic::Models, "not looked for before the server has answered");
        };
        return Check::unknown(Topic::Models, format!("where they lie is not known: {why}"))
            .advise("name it: OLLAMA_MODELS, or ollama.models_dir in the config");
    };
    let directory = directory.display();
    let Some(access) = access else {
        return Check::unknown(Topic::Models, format!("{directory}: its permissions cannot be read"));
    };
    let Access { mode, owner, group, readable, refused, missing } = access;
    let fact = format!("{directory} ({owner}:{group} {mode:03o})");
    match (readable, refused, missing) {
        (0, 0, 0) => Check::unknown(Topic::Models, format!("{fact}: no file of a model is known there")),
        (_, 0, 0) => Check::ok(Topic::Models, format!("{fact}: {readable} files, all may be read by us")),
        (_, 0, missing) => Check::new(
            Topic::Models,
            Verdict::Broken,
            format!("{fact}: {missing} files of models are missing"),
        )
        .advise("pull those models again: ollama pull MODEL"),
        (_, refused, _) => {
            let all = readable + refused;
            Check::new(Topic::Models, Verdict::Broken, format!("{fact}: {refused} of {all} files are not ours to read"))
                .advise(format!(
                    "join the group: sudo usermod -aG {group} $USER, then log in again; or sudo -u {owner} resident"
                ))
        }
    }
}

/// Whether the kernel says what of them is in RAM.
pub(super) fn page_cache(server: &Server) -> Check {
    if !server.local {
        return Check::unknown(Topic::PageCache, ELSEWHERE);
    }
    let (mut counted, mut sampled, mut why) = (0, 0, None);
    for model in server.models.iter().filter(|model| model.details.remote_host.is_none()) {
        match &model.cached {
            Cached::Exact(_) => counted += 1,
            Cached::Sampled(_) => sampled += 1,
            Cached::Unknown(reason) => why = why.or(Some(reason.as_str())),
            Cached::Unread => {}
        }
    }
    let owner = server.files_owner.as_deref();
    let as_owner = |check: Check| match owner {
        Some(owner) => check.advise(format!("exact, as the files' owner: sudo -u {owner} resident")),
        None => check,
    };
    match (counted, sampled, why) {
        (0, 0, None) => Check::unknown(Topic::PageCache, "no model whose files could be looked at"),
        (0, 0, Some(why)) => as_owner(Check::unknown(Topic::PageCache, why)),
        (_, 0, None) => {
            Check::ok(Topic::PageCache, format!("counted exactly by the kernel, {counted} models"))
        }
        (_, 0, Some(why)) => {
            let fact = format!("counted exactly for {counted} models, not for all: {why}");
            Check::new(Topic::PageCache, Verdict::Better, fact)
        }
        (_, sampled, _) => {
            let reason = if owner.is_some() {
                "the kernel counts only for the files' owner"
            } else {
                "no exact count here"
            };
            let fact = format!("sampled (~) for {sampled} models: {reason}");
            as_owner(Check::new(Topic::PageCache, Verdict::Better, fact))
        }
    }
}
