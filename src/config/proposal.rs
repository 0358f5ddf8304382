//! A settings file proposed from the models that are installed and the memory that is there.

use std::fmt::Write;

use super::show::quoted;
use crate::residency::budget::Shares;
use crate::residency::bytes::{Bytes, MIB};
use crate::residency::name::ModelName;

/// The text of a file for `--init` and `I`: the models that fit into RAM together, in the order given, and a budget
/// that adds up. It loads without problems whatever is installed. `url` is the server's where it is not the usual one.
pub fn proposal(installed: &[(ModelName, Bytes)], ram_total: Option<Bytes>, url: Option<&str>) -> String {
    let shares = ram_total.map(Shares::of);
    let mut left = shares.map(|shares| shares.models);
    let mut chosen = Vec::new();
    let mut others = Vec::new();
    let mut seen: Vec<&ModelName> = Vec::new();
    for (name, size) in installed {
        // A name that breaks the rules could not be read back.
        if name.parts().is_none() || seen.contains(&name) {
            continue;
        }
        seen.push(name);
        match left {
            Some(room) if *size > room => others.push((name, size)),
            _ => {
                left = left.map(|room| room.minus(*size));
                chosen.push((name, size));
            }
        }
    }

    let mut text = String::from(
        "# Settings of resident, proposed from what is installed. `resident config` prints the merged result.\n\
         # Every key is optional; the project's own config.yaml explains all of them.\n\nollama:\n",
    );
    if let Some(url) = url {
        let _ = writeln!(text, "  host: {}", quoted(url));
    }
    if let Some((name, _)) = chosen.first() {
        let _ = writeln!(text, "  model: {}  # the primary model", quoted(&name.to_string()));
    }
    text.push_str(
        "  keep_alive: 60m  # in VRAM after the last use; -1 is for ever\n\n  preload:\n    enabled: true\n",
    );
    text.push_str(if chosen.is_empty() { "    models: []\n" } else { "    models:\n" });
    for (name, size) in &chosen {
        let _ = writeln!(text, "      - {}  # {size}", quoted(&name.to_string()));
    }
    for (name, size) in &others {
        let _ = writeln!(
            text,
            "      # - {}  # {size}, does not fit beside the others",
            quoted(&name.to_string())
        );
    }
    text.push_str("    auto_refresh: true  # renew keep_alive of listed models while they are in use\n");
    text.push_str("    refresh_interval: 30m\n\n");
    text.push_str(&shares.map_or_else(|| "memory: auto\n".to_owned(), |shares| memory(&shares)));
    text.push_str("\n# Which model each phase of your work needs; keys 1 to 9 make it ready.\n");
    match chosen.first() {
        Some((name, _)) => {
            let name = quoted(&name.to_string());
            let _ = writeln!(
                text,
                "# phases:\n#   planning: {name}\n#   execution: {{model: {name}, num_ctx: 8192}}"
            );
        }
        None => text.push_str("# phases:\n#   planning: some-model:7b\n"),
    }
    text
}

/// The section of the budget, in units that read well.
fn memory(shares: &Shares) -> String {
    let size = |bytes: Bytes| {
        if bytes.0.is_multiple_of(MIB) { format!("{}MiB", bytes.0 / MIB) } else { bytes.0.to_string() }
    };
    format!(
        "memory:  # or: memory: auto\n  system: {}\n  models_preload: {}  # models kept in RAM\n  \
         context_cache: {}  # what runners need beside the weights\n  total: {}\n",
        size(shares.system),
        size(shares.models),
        size(shares.context),
        size(shares.total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Memory, Sources, load, write_new};
    use crate::residency::bytes::GB;

    fn names(names: &[&str]) -> Vec<ModelName> {
        names.iter().map(|name| ModelName::parse(name).unwrap()).collect()
    }

    fn models(all: &[(&str, u64)]) -> Vec<(ModelName, Bytes)> {
        all.iter().map(|(name, gb)| (ModelName::from_server(name), Bytes(gb * GB))).collect()
    }

    fn loaded(text: &str) -> crate::config::Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yaml");
        write_new(&path, text).unwrap();
        let mut sources = Sources::default();
        sources.flags.config = Some(path);
        load(&sources).map_err(|problems| crate::config::render(&problems)).unwrap().config
    }

    #[test]
    fn models_that_fit_are_listed_and_the_budget_adds_up() {
        let installed =
            models(&[("qwen2.5-coder:7b", 5), ("deepseek-r1:14b", 9), ("llama3:70b", 40), ("tiny", 1)]);
        let text = proposal(&installed, Some(Bytes(32 * GB)), None);
        let config = loaded(&text);
        assert_eq!(config.primary, ModelName::parse("qwen2.5-coder:7b").ok());
        assert_eq!(config.preload.models, names(&["qwen2.5-coder:7b", "deepseek-r1:14b", "tiny"]));
        assert!(text.contains("# - \"llama3:70b\"  # 40.0 GB, does not fit"), "{text}");
        let Memory::Set { system, models_preload, context_cache, total } = config.memory else { panic!() };
        assert_eq!(system + models_preload + context_cache, total);
        assert!(total <= Bytes(32 * GB) && models_preload >= Bytes(15 * GB));
    }

    #[test]
    fn it_loads_whatever_is_installed_and_however_little_memory_there_is() {
        let hostile = models(&[
            ("evil\"\u{1b}[2J\nui: {}", 1),
            ("a", 2),
            ("A:latest", 2),
            ("hf.co/x/Y.z-GGUF:Q4_K_M", 3),
        ]);
        for installed in [&[][..], &hostile[..]] {
            for ram in [None, Some(0), Some(1), Some(MIB), Some(GB + 7), Some(8 * GB), Some(u64::MAX)] {
                let config = loaded(&proposal(installed, ram.map(Bytes), None));
                assert!(config.preload.enabled && config.may_act);
            }
        }
        let all = loaded(&proposal(&hostile, None, None)).preload.models;
        assert_eq!(all, names(&["a", "hf.co/x/Y.z-GGUF:Q4_K_M"]));
    }

    #[test]
    fn it_names_the_server_only_where_it_is_not_the_usual_one() {
        let installed = models(&[("qwen2.5-coder:7b", 5)]);
        for url in ["http://127.0.0.1:4711", "https://gate:443/ollama", "http://[::1]:5"] {
            assert_eq!(loaded(&proposal(&installed, None, Some(url))).url, url);
        }
        let usual = proposal(&installed, None, None);
        assert!(!usual.contains("host:"), "{usual}");
        assert_eq!(loaded(&usual).url, crate::config::Config::default().url);
    }

    #[test]
    fn a_file_that_is_there_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/config.yaml");
        write_new(&path, "one").unwrap();
        assert_eq!(write_new(&path, "two").unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    }
}
