//! The binary: hands over to the library, whose answer becomes the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // MERGE (sim): a loaded model of the embedded server is this same binary, started with RESIDENT_RUNNER set; that
    // must be looked at before the command line is:
    // if std::env::var_os("RESIDENT_RUNNER").is_some() { return resident::sim::runner::main(); }
    resident::cli::main()
}
