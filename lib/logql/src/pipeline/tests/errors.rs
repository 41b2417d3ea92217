//! What becomes of lines that a stage cannot do its work on: they stay, and say which stage and why.

use super::{labels, line, passes, run_with};

fn error(stages: &str, text: &str) -> &'static str {
    let found = labels(stages, text);
    let known = [
        "JSONParserErr",
        "LogfmtParserErr",
        "SampleExtractionErr",
        "LabelFilterErr",
        "TemplateFormatErr",
    ];
    let mut named = known.into_iter().filter(|e| found.contains(&format!(r#"__error__="{e}""#)));
    let first = named.next().unwrap_or("none");
    assert_eq!(named.next(), None, "one error at most: {found}");
    first
}

#[test]
fn each_stage_has_its_error() {
    assert_eq!(error("| json", "no object"), "JSONParserErr");
    assert_eq!(error("| json", ""), "JSONParserErr");
    assert_eq!(error("| json", r#"{"a":1} what follows"#), "none");
    assert_eq!(error(r#"| json a="b""#, "no object"), "JSONParserErr");
    assert_eq!(error(r#"| json a="b""#, ""), "none");
    assert_eq!(error("| unpack", "no object"), "JSONParserErr");
    assert_eq!(error("| logfmt", r#"a=1 b="open"#), "none");
    assert_eq!(error("| logfmt --strict", r#"a=1 b="open"#), "LogfmtParserErr");
    assert_eq!(error("| logfmt | a > 1s", "a=x"), "LabelFilterErr");
    assert_eq!(error("| logfmt | a > 1KB", "a=x"), "LabelFilterErr");
    assert_eq!(error(r#"| line_format "{{ div 1 0 }}""#, "x"), "TemplateFormatErr");
    assert_eq!(error(r#"| label_format a="{{ div 1 0 }}""#, "x"), "TemplateFormatErr");
    for none in [r#"| regexp "(?P<a>y)""#, r#"| pattern "<a>=<b>""#, "| decolorize"] {
        assert_eq!(error(none, "x"), "none", "{none}");
    }
}

#[test]
fn what_was_read_before_the_error_stays() {
    assert!(labels("| logfmt --strict", r#"a=1 b="open"#).contains(r#"a="1""#));
    assert_eq!(line(r#"| line_format "{{ div 1 0 }}""#, "as it was"), "as it was");
}

#[test]
fn the_first_error_counts() {
    let both = r#"| json | logfmt | a > 1"#;
    assert_eq!(error(both, "a=x"), "JSONParserErr");
    assert_eq!(error("| logfmt | a > 1 | json", "a=x"), "JSONParserErr");
}

#[test]
fn a_filter_that_is_not_asked_makes_no_error() {
    assert_eq!(error(r#"| logfmt | b="2" or a > 1"#, "a=x b=2"), "none");
    assert_eq!(error(r#"| logfmt | b="3" or a > 1"#, "a=x b=2"), "LabelFilterErr");
}

#[test]
fn errors_are_filtered_and_dropped_by_name() {
    assert!(!passes(r#"| json | __error__="""#, "x"));
    assert!(passes(r#"| json | __error__=~"JSON.*""#, "x"));
    assert!(!passes(r#"| json | __error__!="JSONParserErr""#, "x"));
    // Details are shown, but no filter sees them.
    assert!(passes(r#"| json | __error_details__="""#, "x"));
    assert!(!passes(r#"| json | __error_details__=~".+""#, "x"));
    assert_eq!(labels("| json | drop __error__, __error_details__", "x"), r#"{app="a"}"#);
    let kept = labels("| json | keep none", "x");
    assert!(kept.contains("JSONParserErr") && !kept.contains("app"), "{kept}");
}

#[test]
fn an_address_filter_passes_lines_with_an_error() {
    assert!(passes(r#"| json | addr=ip("10.0.0.0/8")"#, "x"));
    let (stream, metadata) = ([("app", "a")], [("addr", "192.0.2.1")]);
    assert!(run_with(r#"| addr=ip("10.0.0.0/8")"#, &stream, &metadata, "x").is_none());
}
