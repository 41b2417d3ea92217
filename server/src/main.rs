//! The `skald` binary: reads the command line and runs the server or a subcommand.

mod addresses;
mod allocator;
mod auth;
mod cli;
mod cluster;
mod config;
mod drain_command;
mod export;
mod inspect;
mod listen;
mod ops;
mod process_metrics;
mod registries;
mod roles;
mod serve;
mod storage_command;

use std::process::ExitCode;

use crate::cli::Command;

fn main() -> ExitCode {
    allocator::configure();
    let command = match cli::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => return fail(&error),
    };
    match command {
        Command::Server(options) => exit_code(serve::run(&options)),
        Command::StorageServe(options) => exit_code(storage_command::serve(&options)),
        Command::StorageCheck(options) => exit_code(storage_command::check(&options)),
        Command::Inspect(what, options) => exit_code(inspect::run(&what, &options)),
        Command::Export(what, options) => exit_code(export::run(&what, &options)),
        Command::Drain(what) => exit_code(drain_command::run(&what)),
        Command::Print(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
    }
}

fn exit_code<E: std::error::Error + 'static>(done: Result<(), E>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the logger may not be there yet")]
fn fail(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("skald: {}", skald_model::Chain(error));
    ExitCode::FAILURE
}

/// Writes a line to standard error, for whoever looks on.
#[expect(clippy::print_stderr, reason = "standard output is for what was asked for")]
fn note(text: &str) {
    eprintln!("{text}");
}

/// Writes to standard output; a closed pipe is not worth a panic.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}
