//! `skald-chaos`: see the library.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use lexopt::prelude::*;
use skald_chaos::Options;
use skald_testkit::Etcd;

const USAGE: &str = "\
skald-chaos --skald-bin PATH [--etcd-bin PATH] [--seed N] [--minutes M] [--kills K]
Starts a cluster on the loopback, writes and reads while it breaks processes for M minutes (default 5) or until K of them
were killed with SIGKILL, and checks that nothing was lost, doubled or mixed up. The etcd is that of --etcd-bin, of the
environment's ETCD_BINARY, or of the path.";

fn args() -> Result<(Options, Option<PathBuf>), lexopt::Error> {
    let minute = Duration::from_mins(1);
    let mut options = Options {
        skald: PathBuf::new(),
        seed: 1,
        time: minute * 5,
        kills: u64::MAX,
        longest: minute,
        calm: Duration::from_secs(30),
    };
    let mut etcd = None;
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("skald-bin") => options.skald = parser.value()?.into(),
            Long("etcd-bin") => etcd = Some(parser.value()?.into()),
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("minutes") => options.time = minute.mul_f64(parser.value()?.parse()?),
            Long("kills") => options.kills = parser.value()?.parse()?,
            _ => return Err(arg.unexpected()),
        }
    }
    if options.skald.as_os_str().is_empty() {
        return Err("--skald-bin is missing".into());
    }
    Ok((options, etcd))
}

#[tokio::main]
async fn main() -> ExitCode {
    let (options, etcd) = match args() {
        Ok(args) => args,
        Err(e) => {
            eprintln!("{e}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let etcd = match etcd {
        Some(binary) => Some(Etcd::start_binary(binary).await),
        None => Etcd::start().await,
    };
    let Some(etcd) = etcd else { return ExitCode::from(2) };
    let report = skald_chaos::run(&options, etcd).await;
    println!("seed {}:\n{report}", options.seed);
    if report.violations() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
