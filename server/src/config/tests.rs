use super::*;
use skald_runtime::ByteSize;

fn load(yaml: &str, env: &[(&str, &str)], set: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("skald.yaml");
    std::fs::write(&path, yaml).unwrap();
    let options = Options {
        config_file: Some(path),
        set: set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned(), "--set")).collect(),
        ..Options::default()
    };
    Config::load(&options, env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

#[test]
fn later_origins_win() {
    let yaml =
        "limits:\n  ingestion_rate: 1\n  max_line_size: 1KiB\n  out_of_order_time_window: 2h\n";
    let env = [("SKALD_LIMITS__INGESTION_RATE", "2"), ("SKALD_LIMITS__MAX_LINE_SIZE", "2KiB")];
    let c = load(yaml, &env, &[("limits.ingestion_rate", "3")]).unwrap();
    assert!((c.limits.ingestion_rate - 3.0).abs() < 1e-9);
    assert_eq!(c.limits.max_line_size, ByteSize(2048));
    assert_eq!(c.limits.out_of_order_time_window, HumanDuration::from_secs(7200));
}

#[test]
fn unknown_keys_name_key_and_origin() {
    let e = load("limits:\n  no_such: 1\n", &[], &[]).unwrap_err().to_string();
    assert!(e.contains("limits.no_such") && e.contains("skald.yaml"), "{e}");
    let e = load("", &[("SKALD_NO__SUCH", "1")], &[]).unwrap_err().to_string();
    assert!(e.contains("no.such") && e.contains("SKALD_NO__SUCH"), "{e}");
    let e = load("", &[], &[("no.such", "1")]).unwrap_err().to_string();
    assert!(e.contains("no.such") && e.contains("--set"), "{e}");
}

#[test]
fn bad_values_are_refused() {
    for set in [
        ("limits.ingestion_rate", "many"),
        ("limits.out_of_order_time_window", "5 parsecs"),
        ("limits.discover_log_levels", "perhaps"),
        ("target", "all,chef"),
        ("http_listen", "nowhere"),
        ("auth.mode", "maybe"),
        ("cluster.partitions", "[{id: 0, replicas: [{id: a, zone: x}, {id: b, zone: y}]}]"),
    ] {
        assert!(load("", &[], &[set]).is_err(), "{set:?}");
    }
}

#[test]
fn listening_beyond_loopback_needs_auth() {
    let public = ("http_listen", "0.0.0.0:3100");
    assert!(load("", &[], &[public]).is_err());
    assert!(load("", &[], &[public, ("auth.mode", "trusted-proxy")]).is_ok());
    assert!(load("", &[], &[public, ("auth.allow_unauthenticated", "true")]).is_ok());
}

#[test]
fn roles_without_an_ingester_need_partitions() {
    assert!(load("", &[], &[("target", "querier")]).is_err());
    let partitions = "[{id: 0, replicas: [{id: a, addr: '127.0.0.1:1'}]}]";
    assert!(load("", &[], &[("target", "querier"), ("cluster.partitions", partitions)]).is_ok());
}

#[test]
fn what_is_printed_can_be_read() {
    let yaml = Config::default().to_yaml().unwrap();
    let again = load(&yaml, &[], &[]).unwrap();
    assert_eq!(again.to_yaml().unwrap(), yaml);
}

/// `deploy/config/defaults.yaml` shows every key: written by `skald --config.print`.
#[test]
fn printed_defaults_are_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config/defaults.yaml");
    let want = Config::default().to_yaml().unwrap();
    assert_eq!(
        std::fs::read_to_string(path).unwrap_or_default(),
        want,
        "run: skald --config.print > deploy/config/defaults.yaml"
    );
}

/// docs/configuration.md lists exactly the keys that exist.
#[test]
fn every_key_is_documented() {
    fn leaves(tree: &Value, path: &str, out: &mut Vec<String>) {
        match tree.as_object().filter(|o| !o.is_empty()) {
            Some(map) => {
                let join =
                    |k: &str| if path.is_empty() { k.to_owned() } else { format!("{path}.{k}") };
                map.iter().for_each(|(k, v)| leaves(v, &join(k), out));
            }
            None => out.push(path.to_owned()),
        }
    }
    let mut keys = Vec::new();
    leaves(&to_tree(&Config::default()).unwrap(), "", &mut keys);
    keys.sort();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|l| l.strip_prefix("| `")?.split_once("` | "));
    let mut documented: Vec<String> = rows.clone().map(|(key, _)| key.to_owned()).collect();
    documented.sort();
    assert_eq!(documented, keys);
    for (key, meaning) in rows {
        assert!(meaning.len() > 10, "{key} says what it means");
    }
}
