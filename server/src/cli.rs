//! The command line. Flags are few and fixed, because tests and scripts lean on them; all else is configuration.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Command {
    Server(Options),
    StorageServe(Options),
    StorageCheck(Options),
    Print(String),
}

/// The flags of the server; `storage` subcommands take `--set` and `--config.file` too.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) expand_env: bool,
    pub(crate) check: bool,
    pub(crate) print: bool,
    /// `key=value`, in order, with what to call their origin.
    pub(crate) set: Vec<(String, String, &'static str)>,
}

/// A command line that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0} (try `skald --help`)")]
pub(crate) struct CliError(String);

const HELP: &str = "\
skald: metrics and logs for many tenants, in one binary

usage: skald [server] [flags]
       skald storage serve --backend URL [--listen ADDR]   serve any storage over gRPC
       skald storage check URL                             run the storage conformance suite
       skald version

  --config.file FILE     YAML configuration (docs/configuration.md)
  --config.expand-env    replace ${VAR} in the file by environment variables
  --config.check         check the configuration and exit
  --config.print         print the effective configuration and exit
  --target ROLES         all, or some of distributor,ingester,querier,compactor,storage
  --data-dir DIR         WAL and, by default, storage live here (default ./data)
  --http-listen ADDR     default 127.0.0.1:3100; port 0 picks a free one
  --grpc-listen ADDR     default 127.0.0.1:9095
  --storage URL          file:///dir, memory://, s3://bucket/prefix, grpc://host:port
  --set KEY=VALUE        set any configuration key, e.g. limits.ingestion_rate=50000
";

impl From<lexopt::Error> for CliError {
    fn from(e: lexopt::Error) -> Self {
        Self(e.to_string())
    }
}

/// Parses the arguments behind the program's name.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, CliError> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut options = Options::default();
    let mut words: Vec<String> = Vec::new();
    let mut set = |key: &str, value: String, origin| {
        options.set.push((key.to_owned(), value, origin));
    };
    let (mut check, mut print, mut expand) = (false, false, false);
    let mut config_file = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("config.file") => config_file = Some(PathBuf::from(parser.value()?)),
            Long("config.expand-env") => expand = true,
            Long("config.check") => check = true,
            Long("config.print") => print = true,
            Long("target") => set("target", parser.value()?.string()?, "--target"),
            Long("data-dir") => set("data_dir", parser.value()?.string()?, "--data-dir"),
            Long("http-listen") => set("http_listen", parser.value()?.string()?, "--http-listen"),
            Long("grpc-listen") => set("grpc_listen", parser.value()?.string()?, "--grpc-listen"),
            Long("listen") => set("grpc_listen", parser.value()?.string()?, "--listen"),
            Long("storage") => set("storage.url", parser.value()?.string()?, "--storage"),
            Long("backend") => set("storage.url", parser.value()?.string()?, "--backend"),
            Long("set") => {
                let pair = parser.value()?.string()?;
                let (key, value) = pair
                    .split_once('=')
                    .ok_or_else(|| CliError(format!("--set wants key=value, not {pair:?}")))?;
                set(key, value.to_owned(), "--set");
            }
            Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
            Short('V') | Long("version") => return Ok(version()),
            Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    options = Options { config_file, expand_env: expand, check, print, ..options };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["server"] => Ok(Command::Server(options)),
        ["version"] => Ok(version()),
        ["storage", "serve"] => Ok(Command::StorageServe(options)),
        ["storage", "check", url] => {
            options.set.push(("storage.url".to_owned(), (*url).to_owned(), "argument"));
            Ok(Command::StorageCheck(options))
        }
        other => Err(CliError(format!("unknown command {:?}", other.join(" ")))),
    }
}

fn version() -> Command {
    Command::Print(format!("skald {}\n", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Command, CliError> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn flags_become_configuration_keys() {
        let Command::Server(o) =
            parsed(&["--http-listen", "127.0.0.1:0", "--set", "limits.ingestion_rate=5"]).unwrap()
        else {
            panic!("not the server");
        };
        let keys: Vec<_> = o.set.iter().map(|(k, v, _)| (k.as_str(), v.as_str())).collect();
        assert_eq!(keys, [("http_listen", "127.0.0.1:0"), ("limits.ingestion_rate", "5")]);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for args in [&["--no-such"][..], &["--set", "novalue"], &["frobnicate"], &["--target"]] {
            assert!(parsed(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn storage_subcommands_take_a_url() {
        assert!(matches!(parsed(&["storage", "check", "memory://"]), Ok(Command::StorageCheck(_))));
        assert!(matches!(
            parsed(&["storage", "serve", "--backend", "memory://", "--listen", "127.0.0.1:0"]),
            Ok(Command::StorageServe(_))
        ));
    }
}
