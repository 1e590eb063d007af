//! `isthmus`, the program.

use std::process::ExitCode;

fn main() -> ExitCode {
    isthmus::cli::main()
}
