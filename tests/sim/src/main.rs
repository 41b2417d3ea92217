//! `skald-sim --seeds 0..5000`: runs seeds, each in a process of its own, and stops at the first that fails.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod entropy;

use std::collections::VecDeque;
use std::ops::Range;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use skald_sim::{Options, Outcome};

const USAGE: &str = "usage: skald-sim [--seeds A..B] [--jobs N] | --seed N [--echo] [--log]
  --seeds A..B  run these, each in a process of its own; stop at the first that fails. Default 0..20
  --jobs N      so many at once. Default 1
  --seed N      run this one here
  --load SECS   how long writers write. Default 150
  --calm        nothing goes wrong
  --echo        print every event
  --log         print the log of all processes (RUST_LOG)";

struct Args {
    seed: Option<u64>,
    seeds: Range<u64>,
    jobs: usize,
    log: bool,
    options: Options,
    /// What a child is given.
    passed: Vec<String>,
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(e) => {
            eprintln!("{e}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let well = match args.seed {
        Some(seed) => one(seed, &args),
        None => many(&args),
    };
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn value(parser: &mut lexopt::Parser) -> Result<String, String> {
    let value = parser.value().map_err(|e| e.to_string())?;
    value.into_string().map_err(|_| "not UTF-8".to_owned())
}

fn args() -> Result<Args, String> {
    use lexopt::Arg::Long;
    let mut args = Args {
        seed: None,
        seeds: 0..20,
        jobs: 1,
        log: false,
        options: Options::default(),
        passed: Vec::new(),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        let number = |text: &str| text.parse::<u64>().map_err(|e| format!("{text:?}: {e}"));
        let arg = match arg {
            Long(name) => name.to_owned(),
            other => return Err(other.unexpected().to_string()),
        };
        match arg.as_str() {
            "seed" => args.seed = Some(number(&value(&mut parser)?)?),
            "seeds" => {
                let text = value(&mut parser)?;
                let (a, b) = text.split_once("..").ok_or("--seeds takes A..B")?;
                args.seeds = number(a)?..number(b)?;
            }
            "jobs" => {
                args.jobs = usize::try_from(number(&value(&mut parser)?)?).unwrap_or(1).max(1);
            }
            "load" => {
                let text = value(&mut parser)?;
                args.options.load = Duration::from_secs(number(&text)?);
                args.passed.extend(["--load".to_owned(), text]);
            }
            "calm" => {
                args.options.faults = false;
                args.passed.push("--calm".to_owned());
            }
            "echo" => args.options.echo = true,
            "log" => args.log = true,
            other => return Err(format!("unknown option --{other}")),
        }
    }
    Ok(args)
}

/// Runs a seed in this process.
fn one(seed: u64, args: &Args) -> bool {
    entropy::seed(seed);
    if args.log {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).init();
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("no runtime: {e}");
            return false;
        }
    };
    let outcome = runtime.block_on(skald_sim::run(seed, args.options));
    let Outcome { hash, n_events, n_sent, n_acked, n_queries, n_failed, violation, last } = outcome;
    let word = if violation.is_none() { "ok" } else { "FAILED" };
    if let (Some(_), false) = (&violation, args.options.echo) {
        last.iter().for_each(|line| println!("{line}"));
    }
    println!(
        "seed {seed}: {word} {hash:016x} {n_events} events, {n_acked} of {n_sent} acknowledged, {n_failed} of {n_queries} queries failed"
    );
    if let Some(violation) = &violation {
        println!("seed {seed}: {violation}");
    }
    violation.is_none()
}

/// Processes of seeds, which end with this one.
#[derive(Debug, Default)]
struct Running(VecDeque<(u64, Child)>);

impl Drop for Running {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            // Both fail only when the process is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs seeds in processes of their own.
fn many(args: &Args) -> bool {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(e) => {
            eprintln!("{e}");
            return false;
        }
    };
    let mut seeds = args.seeds.clone();
    let mut running = Running::default();
    let Running(running) = &mut running;
    loop {
        while running.len() < args.jobs
            && let Some(seed) = seeds.next()
        {
            let mut command = Command::new(&program);
            command.arg("--seed").arg(seed.to_string()).args(&args.passed);
            match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
                Ok(child) => running.push_back((seed, child)),
                Err(e) => {
                    eprintln!("seed {seed}: {e}");
                    return false;
                }
            }
        }
        let Some((seed, child)) = running.pop_front() else { return true };
        let output = match child.wait_with_output() {
            Ok(output) => output,
            Err(e) => {
                eprintln!("seed {seed}: {e}");
                return false;
            }
        };
        print!("{}", String::from_utf8_lossy(&output.stdout));
        if !output.status.success() {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            let passed = args.passed.join(" ");
            println!(
                "seed {seed} failed: {}; again with --seed {seed} {passed} --echo",
                output.status
            );
            return false;
        }
    }
}
