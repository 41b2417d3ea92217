mod errors;

use bytes::Bytes;
use skald_model::{Labels, LogEntry, StreamEntries};

use super::{Pipeline, Work};
use crate::ast::Expr;
use crate::parse;

/// Runs one line with labels through the stages; its line and merged labels, if it stays.
fn run_with(
    stages: &str,
    stream: &[(&str, &str)],
    metadata: &[(&str, &str)],
    line: &str,
) -> Option<(String, String)> {
    let Ok(Expr::Log(log)) = parse(&format!(r#"{{app=~".+"}} {stages}"#)) else {
        panic!("{stages}: {:?}", parse(&format!(r#"{{app=~".+"}} {stages}"#)).err());
    };
    let pipeline = Pipeline::compile(&log).unwrap();
    let entry = LogEntry {
        timestamp_ns: 1_700_000_000_000_000_000,
        line: Bytes::copy_from_slice(line.as_bytes()),
        metadata: Labels::from_pairs(metadata.iter().copied()),
    };
    let labels = Labels::from_pairs(stream.iter().copied());
    let streams =
        pipeline.run(&mut Work::default(), &StreamEntries { labels, entries: vec![entry] });
    let stream = streams.first()?;
    let entry = &stream.entries[0];
    let text = String::from_utf8(entry.line.to_vec()).unwrap();
    Some((text, entry.merged_labels(&stream.stream_labels).to_string()))
}

fn labels(stages: &str, line: &str) -> String {
    run_with(stages, &[("app", "a")], &[], line).map_or_else(|| "dropped".to_owned(), |(_, l)| l)
}

fn passes(stages: &str, line: &str) -> bool {
    run_with(stages, &[("app", "a")], &[], line).is_some()
}

fn line(stages: &str, text: &str) -> String {
    run_with(stages, &[("app", "a")], &[], text).map_or_else(|| "dropped".to_owned(), |(l, _)| l)
}

#[test]
fn logfmt_with_clash_and_keep_empty() {
    let text = r#"env=q level=info msg="x y" bare k="#;
    let run = |stages| run_with(stages, &[("app", "a"), ("env", "p")], &[], text).unwrap().1;
    assert_eq!(
        run("| logfmt"),
        r#"{app="a", env="p", env_extracted="q", level="info", msg="x y"}"#
    );
    assert_eq!(
        run("| logfmt --keep-empty"),
        r#"{app="a", bare="", env="p", env_extracted="q", k="", level="info", msg="x y"}"#
    );
}

#[test]
fn json_flattens_and_the_first_value_wins() {
    let text = r#"{"a":{"b":1.0,"c d":[1,2],"e":null,"f":true},"9x":"v","a_b":"dup"}"#;
    assert_eq!(labels("| json", text), r#"{_9x="v", a_b="1.0", a_f="true", app="a"}"#);
    assert_eq!(
        labels(r#"| json x="a.b", y="a['c d'][0]", z="nope", w="a" | keep x, y, z, w"#, text),
        r#"{w="{\"b\":1.0,\"c d\":[1,2],\"e\":null,\"f\":true}", x="1.0", y="1", z=""}"#
    );
}

#[test]
fn broken_json_keeps_what_was_read() {
    let out = labels("| json", r#"{"a":1,"b":"#);
    assert!(out.contains(r#"__error__="JSONParserErr""#) && out.contains(r#"a="1""#), "{out}");
    assert!(out.contains("__error_details__"), "{out}");
    assert_eq!(labels("| json | drop __error__, __error_details__", "x"), r#"{app="a"}"#);
    assert!(!passes(r#"| json | __error__="""#, "x"));
    assert!(passes(r#"| json | __error__="JSONParserErr""#, "x"));
    assert_eq!(line(r#"| json | line_format "[{{.__error__}}]""#, "x"), "[]");
}

#[test]
fn patterns_and_line_patterns() {
    assert_eq!(
        labels(r#"| pattern "<ip> - <_> [<ts>] \"<m>""#, "1.2.3.4 - bob [10/Oct]"),
        r#"{app="a", ip="1.2.3.4", ts="10/Oct]"}"#
    );
    assert!(passes(r#"|> "GET <_> 200""#, "xGET /a 200"));
    assert!(!passes(r#"|> "GET <_> 200""#, "GET  200"));
    assert!(!passes(r#"|> "GET <_> 200""#, "GET /a 200 "));
}

#[test]
fn a_missing_number_drops_the_line_and_a_missing_text_does_not() {
    assert!(!passes("| status!=500", "x"));
    assert!(passes(r#"| status!="500""#, "x"));
    let out = labels("| logfmt | status>=500", "status=abc");
    assert!(out.contains(r#"__error__="LabelFilterErr""#), "{out}");
}

#[test]
fn durations_of_labels_are_gos() {
    assert!(passes("| logfmt | dur>1d", "dur=25h"));
    assert!(!passes("| logfmt | dur>1d", "dur=1h"));
    assert!(labels("| logfmt | dur>1d", "dur=2d").contains("LabelFilterErr"));
    assert!(passes("| logfmt | size=1KiB", r#"size="1,024B""#));
}

#[test]
fn label_format_snapshots_at_its_first_template() {
    let run = |stages: &str| labels(&format!("| logfmt | {stages}"), "a=1");
    assert_eq!(run(r#"label_format b=a, c="{{.a}}-{{.b}}""#), r#"{app="a", b="1", c="-1"}"#);
    assert_eq!(
        run(r#"label_format c="{{.a}}", a="x", d="{{.a}}""#),
        r#"{a="x", app="a", c="1", d="1"}"#
    );
    assert_eq!(run("label_format b=missing"), r#"{a="1", app="a"}"#);
    assert_eq!(run(r#"label_format app="", b=a"#), r#"{app="", b="1"}"#);
}

#[test]
fn templates_fail_softly() {
    let (text, out) =
        run_with("| line_format \"{{ div 1 0 }}\"", &[("app", "a")], &[], "x").unwrap();
    assert_eq!(text, "x");
    assert!(out.contains("TemplateFormatErr"), "{out}");
    assert_eq!(line(r#"| line_format "{{alignLeft 5 __line__}}""#, "héllo!"), "héllo");
}

#[test]
fn metadata_is_visible_and_loses_its_name_to_the_stream() {
    let (_, out) = run_with("| logfmt", &[("app", "a"), ("k", "s")], &[("k", "m")], "k=p").unwrap();
    assert_eq!(out, r#"{app="a", k="s", k_extracted="p"}"#);
    assert!(run_with("| id=\"7\"", &[("app", "a")], &[("id", "7")], "x").is_some());
    let (_, out) =
        run_with("| label_format id=\"8\"", &[("app", "a")], &[("id", "7")], "x").unwrap();
    assert_eq!(out, r#"{app="a", id="8"}"#);
}

#[test]
fn line_filters_move_over_decolorize_but_not_over_line_format() {
    assert!(passes("| decolorize |= \"\\u001b\"", "\u{1b}[31mred\u{1b}[0m"));
    assert_eq!(line("| decolorize", "\u{1b}[31mred\u{1b}[0m half \u{1b}[3 x"), "red half  x");
    assert!(!passes(r#"| line_format "y" |= "x""#, "x"));
    assert!(passes(r#"| line_format "y" |= "y""#, "x"));
}

#[test]
fn needles_are_those_of_the_stored_line() {
    let needles = |stages: &str| {
        let Ok(Expr::Log(log)) = parse(&format!(r#"{{a="b"}} {stages}"#)) else { panic!() };
        let pipeline = Pipeline::compile(&log).unwrap();
        let text = |n: &Bytes| String::from_utf8(n.to_vec()).unwrap();
        pipeline.needles().iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(
        needles(r#"|= "abc" != "x" | json | a="1" |= "longer" |~ "a|b""#),
        ["longer", "abc"]
    );
    assert!(needles(r#"| line_format "x" |= "abc""#).is_empty());
    assert!(needles(r#"|= "a" or "b""#).is_empty());
}

#[test]
fn unpack_wants_an_entry() {
    let packed = r#"{"pod": "p", "n": 1, "_entry": "a=1"}"#;
    let (text, out) = run_with("| unpack | logfmt", &[("app", "a")], &[], packed).unwrap();
    assert_eq!((text.as_str(), out.as_str()), ("a=1", r#"{a="1", app="a", pod="p"}"#));
    assert_eq!(labels("| unpack", r#"{"pod":"p"}"#), r#"{app="a"}"#);
    assert!(labels("| unpack", "not packed").contains("JSONParserErr"));
}

#[test]
fn filters_see_addresses_inside_values() {
    let run = |stages: &str, text: &str| passes(&format!("| logfmt | {stages}"), text);
    assert!(run(r#"x=ip("10.0.0.0/8")"#, "x=10.1.2.3"));
    assert!(!run(r#"x=ip("10.0.0.0/8")"#, "x=none"));
    assert!(run(r#"x!=ip("10.0.0.0/8")"#, "x=none"));
    assert!(!run(r#"y!=ip("10.0.0.0/8")"#, "x=none"));
}

#[test]
fn drop_and_keep_take_conditions() {
    assert_eq!(labels("| logfmt | drop a=\"1\", b=\"1\"", "a=1 b=2"), r#"{app="a", b="2"}"#);
    assert_eq!(labels("| logfmt | keep a=\"1\", b=\"1\"", "a=1 b=2"), r#"{a="1"}"#);
    assert_eq!(labels("| drop app", "x"), "{}");
}

#[test]
fn the_last_parser_does_not_overwrite_but_an_expression_does() {
    assert_eq!(
        labels(r#"| logfmt | regexp "a=(?P<a>..)""#, "a=1 b=2"),
        r#"{a="1", app="a", b="2"}"#
    );
    assert_eq!(labels(r#"| logfmt | logfmt a="b""#, "a=1 b=2"), r#"{a="2", app="a", b="2"}"#);
    assert_eq!(labels("| regexp \"(?P<x>q)?a\"", "a"), r#"{app="a", x=""}"#);
}

#[test]
fn a_filter_with_an_empty_regular_expression_is_none() {
    assert!(passes(r#"| logfmt | a=~"""#, "a=1"));
    assert!(!passes(r#"| logfmt | a!~"""#, "a=1"));
    assert!(passes(r#"| logfmt | b=~"""#, "a=1"));
    assert!(!passes(r#"| logfmt | a="""#, "a=1"));
}

#[test]
fn fields_that_are_missing_clash_with_nothing() {
    let run = |stages: &str, line: &str| {
        run_with(stages, &[("app", "a"), ("env", "p")], &[("id", "7")], line).unwrap().1
    };
    let bare = r#"{app="a", env="p", id="7", x=""}"#;
    assert_eq!(run(r#"| logfmt env, id, x"#, "y=1"), bare);
    assert_eq!(run(r#"| json env, id, x"#, r#"{"y":1}"#), bare);
    assert!(run("| logfmt env", "env=q").contains(r#"env_extracted="q""#));
    // A label that was taken away gives its name back.
    assert_eq!(run("| keep app | json env", r#"{"y":1}"#), r#"{app="a", env=""}"#);
    // What was parsed before stays where the field is missing.
    assert_eq!(labels(r#"| json | json a="b""#, r#"{"a":"1"}"#), r#"{a="1", app="a"}"#);
    assert_eq!(labels(r#"| json | json a="b""#, r#"{"a":"1","b":null}"#), r#"{a="", app="a"}"#);
}

#[test]
fn logfmt_fields_are_found_by_the_names_of_labels() {
    assert_eq!(labels(r#"| logfmt x="user_name""#, "user.name=bob"), r#"{app="a", x="bob"}"#);
    assert_eq!(labels(r#"| logfmt x="user.name""#, "user.name=bob"), r#"{app="a", x="bob"}"#);
    let twice =
        run_with(r#"| logfmt --strict env"#, &[("env", "p")], &[], "env=a env=b =broken").unwrap();
    assert_eq!(twice.1, r#"{env="p", env_extracted="a"}"#);
    // A field is its own source too, where it is not another's.
    assert_eq!(labels(r#"| logfmt a="b""#, "b=1 a=2"), r#"{a="2", app="a"}"#);
    assert_eq!(labels(r#"| logfmt a="b", b="a""#, "b=1 a=2"), r#"{a="1", app="a", b="2"}"#);
}

#[test]
fn fields_of_what_is_no_json_document_are_an_error_without_details() {
    assert_eq!(labels("| json a", "x"), r#"{__error__="JSONParserErr", app="a"}"#);
    assert!(
        labels(r#"| line_format "{{ div 1 0 }}" | json a"#, "x")
            .contains("JSONParserErr\", __error_details__")
    );
    assert_eq!(labels("| json a", " {}"), r#"{__error__="JSONParserErr", app="a"}"#);
}

#[test]
fn a_label_that_is_renamed_to_itself_goes() {
    assert_eq!(labels("| logfmt | label_format a=a, b=c", "a=1 b=2"), r#"{app="a", b="2"}"#);
}

mod any_line {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn goes_through_every_stage(line in "[{}\\[\\]\":,=\\\\ a-c0-9._ué\u{1b}\n-]{0,40}") {
            for stages in [
                "| json", "| json a=\"a.b[0]\", b", "| logfmt", "| logfmt --strict --keep-empty a",
                "| unpack | logfmt", "| pattern \"<a>=<b> <_>\"", "| regexp \"(?P<x>a+)?b\"", "| decolorize",
                "|= ip(\"::/0\")", "!> \"<_>a<_>\"", "| logfmt | a > 1 or b <= 2KB and c = ip(\"10.0.0.1-10.0.0.9\")",
                "| json | label_format x=a, y=\"{{ __line__ | fromJson }}\" | line_format \"{{ .y | trunc 3 }}\"",
                "| line_format \"{{ __line__ | urldecode | b64dec | bytes }}{{ unixToTime .a }}\"",
            ] {
                let _ = super::run_with(stages, &[("app", "x"), ("a", "s")], &[("b", "m")], &line);
            }
        }
    }
}
