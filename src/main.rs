//! Wiring only: a runner of the embedded server, or the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The embedded server starts this same program once per loaded model; clap never sees it.
    if std::env::var_os(resident::sim::runner::MARK).is_some() {
        return resident::sim::runner::main();
    }
    resident::cli::main()
}
