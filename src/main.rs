//! The binary: hands over to the library, whose answer becomes the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    resident::cli::main()
}
