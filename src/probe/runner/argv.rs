//! What a runner's command line says: which blob, which port, how it reads.

use crate::residency::host::{LoadMode, Runner};

/// The runner behind a command line of NUL-ended words; `None` if it is none. Discovery probes of the server, which
/// have no `--model`, are none.
pub(super) fn parse(pid: u32, line: &[u8]) -> Option<Runner> {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split('\0').filter(|word| !word.is_empty());
    let engine = words.next()?.rsplit('/').next()?;
    let words: Vec<&str> = words.collect();
    let in_tree = words.first() == Some(&"runner");
    let upstream = ["llama-server", "ollama_llama_server"].contains(&engine);
    // Other programs have a `runner` too, but none with both of these.
    let is_runner = upstream || in_tree && value(&words, &["--port"]).is_some();
    if !is_runner {
        return None;
    }
    Some(Runner {
        pid,
        blob: value(&words, &["--model", "-m"])?.to_owned(),
        port: value(&words, &["--port"]).and_then(|port| port.parse().ok()),
        load_mode: load_mode(&words, upstream),
        context: value(&words, &["-c", "--ctx-size"]).and_then(|context| context.parse().ok()),
        slots: value(&words, &["-np", "--parallel"]).and_then(|slots| slots.parse().ok()),
        gpu_layers: value(&words, &["-ngl", "--gpu-layers", "--n-gpu-layers"]).map(str::to_owned),
        ..Runner::default()
    })
}

/// Whether that is a server's command line.
pub(super) fn is_server(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == 0);
    words.next().is_some_and(|word| word.rsplit(|byte| *byte == b'/').next() == Some(b"ollama"))
        && words.next().is_some_and(|word| word == b"serve" || word == b"start")
}

/// The value of a flag: the next word, or what follows `=`. The last one wins, as llama.cpp has it.
fn value<'a>(words: &[&'a str], flags: &[&str]) -> Option<&'a str> {
    words.iter().enumerate().rev().find_map(|(place, word)| {
        if flags.contains(word) {
            return words.get(place + 1).copied();
        }
        let (flag, value) = word.split_once('=')?;
        flags.contains(&flag).then_some(value)
    })
}

fn load_mode(words: &[&str], upstream: bool) -> LoadMode {
    let has = |flag| words.contains(&flag);
    match value(words, &["--load-mode", "-lm"]) {
        Some("none" | "mlock") => return LoadMode::Buffered,
        Some("dio") => return LoadMode::Direct,
        Some("mmap" | "mmap+mlock" | "auto") => return LoadMode::Mmap,
        Some(_) => return LoadMode::Unknown,
        None => {}
    }
    if has("--direct-io") || has("-dio") {
        LoadMode::Direct
    } else if has("--no-mmap") {
        LoadMode::Buffered
    } else if has("--ollama-engine") {
        LoadMode::InTree
    } else if upstream {
        LoadMode::Mmap
    } else {
        // Told by the server after the start, or another engine: not visible here.
        LoadMode::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<(String, Option<u16>, LoadMode, Option<u64>)> {
        let bytes: Vec<u8> = line.bytes().map(|byte| if byte == b' ' { 0 } else { byte }).collect();
        parse(7, &bytes).map(|runner| (runner.blob, runner.port, runner.load_mode, runner.context))
    }

    #[test]
    fn runners_of_every_era_are_recognised() {
        use LoadMode::{Buffered, Direct, InTree, Mmap, Unknown};
        let cases = [
            ("/usr/lib/ollama/llama-server --model /b/x --port 41 -c 8192 -np 2", Mmap, Some(41), Some(8192)),
            ("/lib/llama-server --model /b/x --port 41 --load-mode none", Buffered, Some(41), None),
            ("/lib/llama-server --model /b/x --port 41 --load-mode=dio", Direct, Some(41), None),
            ("/lib/llama-server --model /b/x --load-mode mmap+mlock --port 41", Mmap, Some(41), None),
            ("/lib/llama-server --model /b/x --load-mode telepathy", Unknown, None, None),
            ("/lib/llama-server --no-mmap --model /b/x --port 41", Buffered, Some(41), None),
            ("/lib/llama-server --no-mmap --direct-io --model /b/x --port 41", Direct, Some(41), None),
            ("llama-server --ctx-size=512 --port=41 --model=/b/x", Mmap, Some(41), Some(512)),
            ("llama-server runner --model /b/x --port 41", Mmap, Some(41), None),
            ("/bin/ollama runner --model /b/x --port 41", Unknown, Some(41), None),
            ("/bin/ollama runner --model /b/x --no-mmap --port 41", Buffered, Some(41), None),
            ("/bin/ollama runner --ollama-engine --model /b/x --port 41", InTree, Some(41), None),
            ("/bin/ollama runner --mlx-engine --model /b/x --port 41", Unknown, Some(41), None),
            ("target/debug/resident runner --model /b/x --port 41", Unknown, Some(41), None),
            ("/tmp/r/ollama_llama_server --model /b/x --port 41 --ctx-size 2048", Mmap, Some(41), Some(2048)),
            ("llama-server --model /b/y --model /b/x --port 99999 -c -5", Mmap, None, None),
        ];
        for (line, load_mode, port, context) in cases {
            assert_eq!(parsed(line), Some(("/b/x".to_owned(), port, load_mode, context)), "{line}");
        }
    }

    #[test]
    fn slots_and_layers_on_the_card_are_read_where_they_are_said() {
        let cases = [
            ("llama-server --model /b/x -np 2 -ngl 29", Some(2), Some("29")),
            ("llama-server --model /b/x --parallel=4 --n-gpu-layers=all", Some(4), Some("all")),
            ("/bin/ollama runner --model /b/x --port 41 --parallel 1 --n-gpu-layers 0", Some(1), Some("0")),
            ("llama-server --model /b/x -np many", None, None),
        ];
        for (line, slots, layers) in cases {
            let runner = parse(7, line.replace(' ', "\0").as_bytes()).unwrap();
            assert_eq!((runner.slots, runner.gpu_layers.as_deref()), (slots, layers), "{line}");
        }
    }

    #[test]
    fn discovery_probes_and_strangers_are_none() {
        let cases = [
            "",
            "/usr/lib/ollama/llama-server --port 41 --list-devices",
            "/usr/lib/ollama/llama-server --port 41 --model",
            "/bin/ollama serve",
            "/bin/ollama runner --port 41",
            "/bin/gitlab-runner runner --model x",
            "vi llama-server --model /b/x --port 41",
            "/usr/bin/my-llama-server --model /b/x --port 41",
        ];
        for line in cases {
            assert_eq!(parsed(line), None, "{line}");
        }
    }

    #[test]
    fn a_path_with_spaces_and_bytes_that_are_no_text_are_kept_or_marked() {
        let runner = parse(7, b"llama-server\0--model\0/my models/\xff\0--port\x0041\0").unwrap();
        assert_eq!(runner.blob, "/my models/\u{fffd}");
    }
}
