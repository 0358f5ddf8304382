//! The preload list written into the user's file: its lines are changed, all others stay byte for byte.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Config;
use super::reader::Reader;
use super::schema::{SECTIONS, apply};
use super::show::quoted;
use super::tree;
use crate::residency::name::ModelName;

/// The file's text with this preload list; `None` is no file yet. What cannot be edited safely is an error that says
/// what to write by hand.
pub fn with_preload(text: Option<&str>, models: &[ModelName]) -> Result<String, String> {
    let Some(text) = text else {
        return Ok(format!("ollama:\n  preload:\n{}", key_and_items(4, models)));
    };
    let by_hand = || {
        let names: Vec<String> = models.iter().map(|model| quoted(&model.to_string())).collect();
        format!("this file cannot be edited safely; write ollama.preload.models: [{}]", names.join(", "))
    };
    let before = settings(text).ok_or_else(by_hand)?;
    let edited = edit(text, models).ok_or_else(by_hand)?;
    let after = settings(&edited).ok_or_else(by_hand)?;
    let mut expected = before;
    (expected.preload.enabled, expected.preload.models) = (after.preload.enabled, models.to_vec());
    if expected == after { Ok(edited) } else { Err(by_hand()) }
}

/// Writes `new` over the file that was read as `old`: as a whole or not at all. A link stays one; the file keeps its mode.
pub fn write_over(path: &Path, old: &str, new: &str) -> Result<(), String> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let cannot = |error: &std::io::Error| format!("cannot write {}: {error}", path.display());
    let changed = fs::read_to_string(&path).map_err(|error| cannot(&error))? != old;
    if changed {
        return Err(format!(
            "{} was changed by somebody else meanwhile: nothing was written",
            path.display()
        ));
    }
    let beside = beside(&path);
    let written = write_beside(&path, &beside, new).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // What is left of it is of no use to anybody.
        let _ = fs::remove_file(&beside);
    }
    written.map_err(|error| cannot(&error))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

fn write_beside(path: &Path, beside: &Path, text: &str) -> std::io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(beside)?;
    file.set_permissions(fs::metadata(path)?.permissions())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The settings of a text; `None` where it has problems.
fn settings(text: &str) -> Option<Config> {
    let mut config = Config::default();
    let mut reader = Reader::new(Path::new("config.yaml"));
    let root = tree::read(text, &|key| SECTIONS.contains(&key)).ok()?;
    apply(&mut config, &root, &mut reader, None, Path::new(""));
    // Keys know the line they stand on.
    config.keys.clear();
    reader.problems.is_empty().then_some(config)
}

/// The text with the list changed; `None` where it is written in a way that is not understood.
fn edit(text: &str, models: &[ModelName]) -> Option<String> {
    // Tabs, other line ends and anchors are rare and easy to get wrong; in a comment they do no harm.
    let code = |line: &str| {
        is_code(line) && line.split(" #").next().is_some_and(|code| code.contains(['\t', '&', '*']))
    };
    if text.contains('\r') || text.lines().any(code) {
        return None;
    }
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    if let Some(last) = lines.last_mut().filter(|line| !line.ends_with('\n')) {
        last.push('\n');
    }
    let Some(ollama) = find(&lines, 0..lines.len(), 0, "ollama") else {
        if lines.iter().any(|line| line.starts_with("ollama")) {
            return None;
        }
        lines.push(format!("\nollama:\n  preload:\n{}", key_and_items(4, models)));
        return Some(lines.concat());
    };
    let section = block(&lines, ollama, 0);
    let depth = indent_of(&lines, &section)?;
    let preload = find(&lines, section.clone(), depth, "preload")
        .or_else(|| find(&lines, section.clone(), depth, "preload_models"));
    let Some(preload) = preload else {
        let inline =
            |line: &String| line.trim_start().starts_with("preload") && !line.trim_start().starts_with('#');
        if lines[section.clone()].iter().any(inline) {
            return None;
        }
        let new = format!("{:depth$}preload:\n{}", "", key_and_items(depth * 2, models));
        lines.insert(end_of(&lines, &section), new);
        return Some(lines.concat());
    };
    let inner = block(&lines, preload, depth);
    if items(&lines, &inner).next().is_some_and(|first| first == first_code(&lines, &inner)) {
        // A bare list.
        replace_items(&mut lines, inner, models);
        return Some(lines.concat());
    }
    let deeper = indent_of(&lines, &inner)?;
    match find_any(&lines, inner.clone(), deeper, "models") {
        None => {
            let new = key_and_items(deeper, models);
            lines.insert(end_of(&lines, &inner), new);
        }
        Some(at) if is_bare_key(&lines[at], "models") => {
            // YAML lets the items of a list stand as deep as its key.
            let end = (at + 1..inner.end)
                .find(|&i| is_code(&lines[i]) && indent(&lines[i]) <= deeper && !is_item(&lines[i]))
                .unwrap_or(inner.end);
            let list = at + 1..end;
            if models.is_empty() {
                let behind = items(&lines, &list).last().map_or(at + 1, |item| item + 1);
                lines.drain(at + 1..behind);
                lines[at] = lines[at].replacen("models:", "models: []", 1);
            } else {
                replace_items(&mut lines, list, models);
            }
        }
        Some(at) => {
            let rest = lines[at].trim_end().split_once("models:")?.1.trim().to_owned();
            // A list in one line, with nothing but a comment behind it.
            let (list, comment) = rest.strip_prefix('[')?.split_once(']')?;
            if list.contains(['[', '"', '\'', '#']) && list.contains('#')
                || !(comment.trim().is_empty() || comment.trim_start().starts_with('#'))
            {
                return None;
            }
            let names: Vec<String> = models.iter().map(|model| quoted(&model.to_string())).collect();
            lines[at] = format!("{:deeper$}models: [{}]{comment}\n", "", names.join(", "));
        }
    }
    Some(lines.concat())
}

/// `models:` and its items, at that depth.
fn key_and_items(depth: usize, models: &[ModelName]) -> String {
    if models.is_empty() {
        return format!("{:depth$}models: []\n", "");
    }
    let items: String = models.iter().map(|model| item(depth + 2, model)).collect();
    format!("{:depth$}models:\n{items}", "")
}

fn item(depth: usize, model: &ModelName) -> String {
    format!("{:depth$}- {}\n", "", quoted(&model.to_string()))
}

/// The items of a list replaced; one that stays keeps its line and the comments above it.
fn replace_items(lines: &mut Vec<String>, list: std::ops::Range<usize>, models: &[ModelName]) {
    let places: Vec<usize> = items(lines, &list).collect();
    let (Some(&first), Some(&until)) = (places.first(), places.last()) else {
        let depth = indent(&lines[list.start - 1]) + 2;
        let new: String = models.iter().map(|model| item(depth, model)).collect();
        lines.insert(list.start, new);
        return;
    };
    let depth = indent(&lines[first]);
    // Comments above an item belong to it.
    let above =
        lines[list.start..first].iter().rev().take_while(|line| line.trim_start().starts_with('#')).count();
    let from = first - above;
    let mut begin = from;
    let mut old: Vec<(Option<ModelName>, String)> = Vec::new();
    for place in places {
        old.push((name_of(&lines[place]), lines[begin..=place].concat()));
        begin = place + 1;
    }
    let new: String = models
        .iter()
        .map(|model| {
            let kept = old.iter().find(|(name, _)| name.as_ref() == Some(model));
            kept.map_or_else(|| item(depth, model), |(_, text)| text.clone())
        })
        .collect();
    lines.splice(from..=until, [new]);
}

/// The model that an item names.
fn name_of(line: &str) -> Option<ModelName> {
    let text = line.trim().strip_prefix('-')?.trim();
    let bare = match text.chars().next()? {
        quote @ ('"' | '\'') => text[1..].split(quote).next()?,
        _ => text.split(" #").next()?.trim(),
    };
    ModelName::parse(bare).ok()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Whether a line is neither blank nor a comment.
fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

fn is_item(line: &str) -> bool {
    is_code(line) && (line.trim() == "-" || line.trim_start().starts_with("- "))
}

/// Whether a line is `key:` and nothing else, but for a comment.
fn is_bare_key(line: &str, key: &str) -> bool {
    let rest = line.trim().strip_prefix(key).and_then(|rest| rest.strip_prefix(':'));
    rest.is_some_and(|rest| rest.trim().is_empty() || rest.trim_start().starts_with('#'))
}

/// The line of a bare key at that depth.
fn find(lines: &[String], range: std::ops::Range<usize>, depth: usize, key: &str) -> Option<usize> {
    range.into_iter().find(|&i| indent(&lines[i]) == depth && is_bare_key(&lines[i], key))
}

/// The line of a key at that depth, whatever comes behind it.
fn find_any(lines: &[String], range: std::ops::Range<usize>, depth: usize, key: &str) -> Option<usize> {
    let begins = |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.starts_with(':'));
    range.into_iter().find(|&i| indent(&lines[i]) == depth && begins(&lines[i]))
}

/// What stands under the key in line `at`: all lines up to the next code that is no deeper.
fn block(lines: &[String], at: usize, depth: usize) -> std::ops::Range<usize> {
    let ends =
        |line: &String| is_code(line) && (indent(line) < depth || (indent(line) == depth && !is_item(line)));
    let end = lines[at + 1..].iter().position(ends).map_or(lines.len(), |after| at + 1 + after);
    at + 1..end
}

fn first_code(lines: &[String], range: &std::ops::Range<usize>) -> usize {
    range.clone().find(|&i| is_code(&lines[i])).unwrap_or(range.end)
}

/// How deep the first code of a block is.
fn indent_of(lines: &[String], range: &std::ops::Range<usize>) -> Option<usize> {
    lines
        .get(first_code(lines, range))
        .filter(|_| first_code(lines, range) < range.end)
        .map(|line| indent(line))
}

/// Behind the last code of a block: what follows are comments of the next one.
fn end_of(lines: &[String], range: &std::ops::Range<usize>) -> usize {
    range.clone().rev().find(|&i| is_code(&lines[i])).map_or(range.start, |last| last + 1)
}

fn items<'a>(lines: &'a [String], range: &std::ops::Range<usize>) -> impl Iterator<Item = usize> + 'a {
    range.clone().filter(move |&i| is_item(&lines[i]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(names: &[&str]) -> Vec<ModelName> {
        names.iter().map(|name| ModelName::parse(name).unwrap()).collect()
    }

    fn edited(text: &str, models: &[&str]) -> String {
        with_preload(Some(text), &names(models)).unwrap()
    }

    const UPDATED: &str = include_str!("../../tests/data/idea-updated.yaml");
    const EARLIER: &str = include_str!("../../tests/data/idea-earlier.yaml");

    #[test]
    fn one_more_model_is_one_more_line() {
        let all = ["openthinker3-7b", "qwen2.5-coder:7b", "deepseek-r1:14b"];
        for text in [UPDATED, EARLIER, crate::config::DEMO] {
            assert_eq!(edited(text, &all), text, "nothing changes where the list is the same");
            let more = edited(text, &[&all[..], &["llama3.1:8b"]].concat());
            let old: Vec<&str> = text.lines().collect();
            let new: Vec<&str> = more.lines().collect();
            assert_eq!(new.len(), old.len() + 1);
            let added: Vec<&&str> = new.iter().filter(|line| !old.contains(line)).collect();
            assert_eq!(added.len(), 1, "{added:?}");
            assert!(added[0].trim_start().starts_with("- ") && added[0].contains("llama3.1:8b"), "{added:?}");
        }
    }

    #[test]
    fn what_stays_keeps_its_comments_and_what_goes_takes_them_along() {
        let text = "# mine\nollama:\n  preload:  # near\n    models:\n      # the coder\n      - qwen  # 5GB\n      - llama\n    enabled: true\nagent: {a: b}\n";
        assert_eq!(
            edited(text, &["qwen"]),
            "# mine\nollama:\n  preload:  # near\n    models:\n      # the coder\n      - qwen  # 5GB\n    enabled: true\nagent: {a: b}\n"
        );
        assert_eq!(
            edited(text, &["llama"]),
            "# mine\nollama:\n  preload:  # near\n    models:\n      - llama\n    enabled: true\nagent: {a: b}\n"
        );
        assert!(edited(text, &[]).contains("    models: []\n    enabled: true\n"));
    }

    #[test]
    fn every_way_to_write_the_list_is_known() {
        let cases = [
            (
                "ollama:\n  preload:\n    models: [a, b]  # two\n",
                "ollama:\n  preload:\n    models: [a]  # two\n",
            ),
            (
                "ollama:\n  preload:\n    models:\n    - a\n    - b\n    enabled: true\n",
                "ollama:\n  preload:\n    models:\n    - a\n    enabled: true\n",
            ),
            ("ollama:\n  preload:\n    - a\n    - b\n", "ollama:\n  preload:\n    - a\n"),
            (
                "ollama:\n  preload:\n    enabled: true\n",
                "ollama:\n  preload:\n    enabled: true\n    models:\n      - a\n",
            ),
            (
                "ollama:\n  host: x\n\n# next\nui: {}\n",
                "ollama:\n  host: x\n  preload:\n    models:\n      - a\n\n# next\nui: {}\n",
            ),
            ("agent: 1\n", "agent: 1\n\nollama:\n  preload:\n    models:\n      - a\n"),
            ("ollama:\n  preload:\n    models: []\n", "ollama:\n  preload:\n    models: [a]\n"),
        ];
        for (old, new) in cases {
            assert_eq!(edited(old, &["a"]).replace('"', ""), new, "{old}");
        }
        assert_eq!(
            settings(&with_preload(None, &names(&["a"])).unwrap()).unwrap().preload.models,
            names(&["a"])
        );
    }

    #[test]
    fn what_cannot_be_edited_safely_says_what_to_write() {
        for text in [
            "ollama: {preload: {models: [a]}}\n",
            "ollama:\r\n  preload:\r\n    models: [a]\r\n",
            "ollama:\n  preload: {models: [a]}\n",
            "ollama:\n  preload:\n    models: &list [a]\n",
            "ollama:\n  preload:\n    models: [a,\n      b]\n",
            "ollama:\n  keep_alive: nonsense\n",
        ] {
            let why = with_preload(Some(text), &names(&["b:7b"])).unwrap_err();
            assert!(why.contains("ollama.preload.models: ["), "{text}: {why}");
        }
    }

    #[test]
    fn a_file_is_written_whole_keeps_its_mode_and_is_left_alone_when_it_changed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("real.yaml"), folder.path().join("link.yaml"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write_over(&link, "old", "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_over(&link, "old", "newer").unwrap_err().contains("nothing was written"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    proptest! {
        #[test]
        fn any_list_comes_back_as_it_was_written(
            list in prop::collection::vec("[a-z][a-z0-9._-]{0,8}(:[a-z0-9][a-z0-9._]{0,5})?", 0..6), which in 0..4_usize,
        ) {
            let mut models: Vec<ModelName> = list.iter().filter_map(|name| ModelName::parse(name).ok()).collect();
            models.sort();
            models.dedup();
            let text = [UPDATED, EARLIER, crate::config::DEMO, "ollama:\n  preload: \n    enabled: true\n"][which];
            let new = with_preload(Some(text), &models).map_err(TestCaseError::fail)?;
            prop_assert_eq!(settings(&new).unwrap().preload.models, models);
        }
    }
}
