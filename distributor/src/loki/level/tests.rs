use proptest::prelude::*;

use super::*;

fn line(text: &str) -> &'static str {
    of_line(text.as_bytes()).as_str()
}

#[test]
fn json_lines_give_their_level_field() {
    assert_eq!(line(r#"{"level": "debug", "msg": "an error"}"#), "debug");
    assert_eq!(line(r#"{"msg":"x \"level\":\"info\"","lvl":"WARN"}"#), "warn");
    assert_eq!(line(r#"{"log":{"Severity":"Critical"}}"#), "critical");
    assert_eq!(line(r#"{"a":{"b":{"level":"trace"}}}"#), "trace", "by its word, being too deep");
    assert_eq!(line(r#"{"pod":"p","_entry":"level=info inner"}"#), "info");
    assert_eq!(line(r#"{"level":30,"msg":"x"}"#), "unknown");
    assert_eq!(line(r#"{"no_entry":"x"}"#), "unknown");
    assert_eq!(line(r#"{"level":"#), "unknown");
}

#[test]
fn logfmt_lines_give_their_level_field() {
    assert_eq!(line(r#"ts=1 msg="an error: level=debug" level=info"#), "info");
    assert_eq!(line("caller=x.go:1 lvl=eror level=warning x"), "warn");
    assert_eq!(line(r#"level="ERROR" msg=x"#), "error");
    assert_eq!(line("a=1 a=2"), "unknown");
    assert_eq!(line("level="), "unknown");
    assert_eq!(line("a==b"), "unknown");
}

#[test]
fn other_lines_give_their_first_level_word() {
    assert_eq!(line("ERROR disk full"), "error");
    assert_eq!(line("error: file not found"), "error");
    assert_eq!(line("Warning: low memory"), "warn");
    assert_eq!(line("2026-01-01 [INFO] no error"), "info");
    assert_eq!(line("[12:00:01 WRN] x"), "warn");
    assert_eq!(line("\u{1b}[31mERROR\u{1b}[0m failed"), "unknown");
    assert_eq!(line("terror errors information"), "unknown");
    assert_eq!(line("panic: nil pointer"), "unknown");
    assert_eq!(line("value bad=+Inf"), "unknown");
    assert_eq!(line(""), "unknown");
    assert_eq!(line("café error_code=5"), "unknown");
}

#[test]
fn labels_and_metadata_come_before_the_line() {
    let labels = Labels::from_pairs([("app", "x"), ("Level", "warning")]);
    assert_eq!(of_pairs(&labels), Some(Level::Warn));
    assert_eq!(of_pairs(&Labels::from_pairs([("app", "x")])), None);
    assert_eq!(of_pairs(&Labels::from_pairs([("level", "loud")])), Some(Level::Unknown));
    let of = |pairs: &[(&'static str, &'static str)]| of_metadata(pairs.iter().copied());
    assert_eq!(of(&[("severity", "ERROR")]), Some(Level::Error));
    assert_eq!(of(&[("severity_number", "9")]), Some(Level::Info));
    assert_eq!(of(&[("trace_id", "x")]), None);
}

#[test]
fn levels_survive_the_cache() {
    for level in ALL {
        assert_eq!(Level::from_flags(level.to_flags()), Some(level));
    }
    assert_eq!(Level::from_flags(0), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_have_some_level(bytes in prop::collection::vec(any::<u8>(), 0..200), json in any::<bool>()) {
        let mut line = if json { b"{\"a".to_vec() } else { Vec::new() };
        line.extend(bytes);
        of_line(&line);
    }

    /// Hints leave nothing out that reading every byte finds.
    #[test]
    fn hints_find_what_reading_every_byte_finds(
        words in prop::collection::vec(
            r#"(?i-u:info|inf|INFO|warn|WARNING|error|ERR|err|DBG|debug|trace|TRC|fatal|FTL|critical|level|lvl|severity|loglevel|sev|x|in|é|_)|[ :="{},\[\]]|="|": ?"|err:|ERR |lvl=|level="#, 0..24),
        json in any::<bool>(),
    ) {
        let line = format!("{}{}", if json { "{\"" } else { "" }, words.concat());
        prop_assert_eq!(of_line(line.as_bytes()), of_line_by_bytes(line.as_bytes()), "{}", line);
    }

    #[test]
    fn any_mix_of_syntax_has_some_level(text in r#"[{}\[\]":,= a\\lev]{0,60}"#) {
        of_line(text.as_bytes());
    }
}
