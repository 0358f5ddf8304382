//! `man`: the man pages, one of the program and one of each subcommand, made from the tree and the words of `--help`.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::Exit;
use super::help::{EXIT_CODES, Example, ROOT, TOPICS, tree};
use super::out::Out;

/// Prints the page of the program, or writes all pages into `dir`.
pub(super) fn run(dir: Option<&Path>) -> anyhow::Result<Exit> {
    let pages = pages()?;
    let (mut results, mut remarks) = (std::io::stdout(), std::io::stderr());
    let mut out = Out::new(&mut results, &mut remarks);
    let Some(dir) = dir else {
        let Some(page) = pages.first() else { return Ok(Exit::Failed) };
        out.result(&page.text).context("printing the man page")?;
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    for Page { file, text } in &pages {
        let path = dir.join(file);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    out.result(&format!("wrote {} pages to {}", pages.len(), dir.display())).context("printing")?;
    Ok(Exit::Done)
}

struct Page {
    file: String,
    text: String,
}

/// All pages, the program's first.
fn pages() -> std::io::Result<Vec<Page>> {
    let mut tree = tree();
    tree.build();
    let mut pages = vec![page(&tree, "", ROOT)?];
    for topic in TOPICS {
        if let Some(sub) = tree.find_subcommand(topic.name) {
            pages.push(page(sub, topic.notes, topic.examples)?);
        }
    }
    Ok(pages)
}

fn page(command: &Command, notes: &str, examples: &[Example]) -> std::io::Result<Page> {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let source = format!("resident {}", env!("CARGO_PKG_VERSION"));
    // All options by name would hide what the usage says.
    let man = Man::new(command.clone().override_usage(usage)).source(source).manual("resident");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    for paragraph in notes.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        let mut roff = Roff::new();
        roff.control("PP", []).text([roman(paragraph)]);
        roff.to_writer(&mut text)?;
    }
    man.render_options_section(&mut text)?;
    let is_root = command.get_subcommands().next().is_some();
    if is_root {
        man.render_subcommands_section(&mut text)?;
    }
    tagged("EXAMPLES", examples.iter().map(|(line, what)| ((*line).to_owned(), *what)))
        .to_writer(&mut text)?;
    let codes = EXIT_CODES.iter().map(|(code, what)| (code.to_string(), *what));
    tagged("EXIT STATUS", codes).to_writer(&mut text)?;
    if !is_root {
        let mut also = Roff::new();
        also.control("SH", ["SEE ALSO"]).text([bold("resident"), roman("(1)")]);
        also.to_writer(&mut text)?;
    }
    text.flush()?;
    Ok(Page { file: man.get_filename(), text: String::from_utf8_lossy(&text).into_owned() })
}

/// A section of things in bold, each with what there is to say of it.
fn tagged<'a>(heading: &str, all: impl Iterator<Item = (String, &'a str)>) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    for (tag, words) in all {
        roff.control("TP", []).text([bold(tag)]).text([roman(words)]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use std::process::{Command as Process, Stdio};

    use super::*;

    /// A page as it reads without roff's escapes.
    fn plain(page: &Page) -> String {
        page.text.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")
    }

    #[test]
    fn each_subcommand_has_a_page_that_names_its_options_and_examples_and_the_programs_page_names_it() {
        let pages = pages().unwrap();
        let mut tree = tree();
        tree.build();
        let root = plain(&pages[0]);
        assert_eq!((pages[0].file.as_str(), pages.len()), ("resident.1", tree.get_subcommands().count() + 1));
        for sub in tree.get_subcommands() {
            let file = format!("resident-{}.1", sub.get_name());
            let page = plain(pages.iter().find(|page| page.file == file).expect(&file));
            assert!(root.contains(&format!("resident-{}(1)", sub.get_name())), "{file}: {root}");
            for long in sub.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(page.contains(&format!("--{long}")), "{file}: {long}: {page}");
            }
            let topic = TOPICS.iter().find(|topic| topic.name == sub.get_name()).unwrap();
            assert!(topic.examples.iter().all(|(line, _)| page.contains(line)), "{page}");
            assert!(page.contains(".SH EXAMPLES") && page.contains(".SH \"EXIT STATUS\""), "{page}");
        }
    }

    #[test]
    fn groff_finds_nothing_to_complain_about() {
        for page in pages().unwrap() {
            let groff = Process::new("groff")
                .args(["-man", "-Tutf8", "-ww", "-z"])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            // Without it nothing can be asked.
            let Ok(mut groff) = groff else { return };
            groff.stdin.take().unwrap().write_all(page.text.as_bytes()).unwrap();
            let said = groff.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stderr), "", "{}:\n{}", page.file, page.text);
        }
    }
}
