//! `completions`: what a shell needs to complete subcommands and options, made from the tree they are read with.

use anyhow::Context;
use clap_complete::{Shell, generate};

use super::out::Out;
use super::{Exit, help};

/// Prints them.
pub(super) fn print(shell: Shell) -> anyhow::Result<Exit> {
    let (mut results, mut remarks) = (std::io::stdout(), std::io::stderr());
    Out::new(&mut results, &mut remarks).result(&script(shell)).context("printing the completions")?;
    Ok(Exit::Done)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut help::tree(), "resident", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_completes_every_subcommand_and_option() {
        let mut tree = help::tree();
        tree.build();
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for sub in tree.get_subcommands() {
                assert!(script.contains(sub.get_name()), "{shell}: {}", sub.get_name());
                for long in sub.get_arguments().filter_map(clap::Arg::get_long) {
                    // Only fish writes options without their dashes.
                    let names = [format!("--{long}"), format!("-l {long}")];
                    assert!(names.iter().any(|name| script.contains(name)), "{shell}: {long}");
                }
            }
        }
    }

    #[test]
    fn bash_takes_its_script() {
        let bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn();
        // A machine without it has nothing to complete.
        let Ok(mut bash) = bash else { return };
        bash.stdin.take().unwrap().write_all(script(Shell::Bash).as_bytes()).unwrap();
        assert!(bash.wait().unwrap().success());
    }
}
