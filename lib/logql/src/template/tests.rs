mod functions;

use super::{Scope, Template};

struct Line;

impl Scope for Line {
    fn label(&self, name: &str) -> Option<&str> {
        match name {
            "level" => Some("error"),
            "status" => Some("500"),
            "msg" => Some("héllo!"),
            _ => None,
        }
    }
    fn labels(&self) -> Vec<(&str, &str)> {
        vec![("level", "error"), ("a", "b")]
    }
    fn line(&self) -> &[u8] {
        b"the line"
    }
    fn timestamp_ns(&self) -> i64 {
        1_700_000_000_123_000_000
    }
}

fn run(text: &str) -> String {
    let mut out = Vec::new();
    match Template::new(text).unwrap().run(&Line, &mut out) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(e) => format!("error: {e}"),
    }
}

#[test]
fn fields_and_text_are_joined() {
    assert_eq!(run("{{.level}} {{ .missing }}-{{- .status -}} x"), "error -500x");
    assert_eq!(run("{{ __line__ }} {{ __timestamp__ | unixEpoch }}"), "the line 1700000000");
}

#[test]
fn templates_define_others_and_use_them() {
    let define = r#"{{ define "t" }}<{{ . }}{{ $ }}>{{ end }}"#;
    assert_eq!(run(&format!(r#"{define}{{{{ template "t" .level }}}}"#)), "<errorerror>");
    assert_eq!(run(&format!(r#"{define}{{{{ template "t" }}}}"#)), "<<no value><no value>>");
    assert_eq!(run(r#"{{ block "b" .status }}[{{ . }}]{{ end }}{{ template "b" 1 }}"#), "[500][1]");
    assert!(run(r#"{{ template "none" }}"#).contains("not defined"));
    let endless = r#"{{ define "t" }}{{ template "t" . }}{{ end }}{{ template "t" . }}"#;
    assert!(run(endless).contains("64 levels"));
    for bad in [
        r#"{{ define "t" }}"#,
        "{{ define t }}{{ end }}",
        r#"{{ if .a }}{{ define "t" }}{{ end }}{{ end }}"#,
    ] {
        assert!(Template::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn blocks_follow_go() {
    assert_eq!(
        run(r#"{{ if eq .level "warn" }}W{{ else if eq .level "error" }}E{{ else }}-{{ end }}"#),
        "E"
    );
    assert_eq!(run("{{ with .none }}a{{ . }}{{ else }}b{{ end }}"), "b");
    assert_eq!(
        run(r#"{{ range $i, $e := fromJson "[1,2.5,null]" }}{{ $i }}={{ $e }};{{ end }}"#),
        "0=1;1=2.5;2=<no value>;"
    );
    assert_eq!(
        run(
            r#"{{ range fromJson "[1,2,3]" }}{{ if gt . 1.5 }}{{ break }}{{ end }}{{ . }}{{ end }}"#
        ),
        "1"
    );
    assert_eq!(run("{{ $x := .level }}{{ if true }}{{ $x = .status }}{{ end }}{{ $x }}"), "500");
    assert_eq!(run(r#"{{ (fromJson "{\"a\":{\"b\":[true]}}").a.b }}"#), "[true]");
    assert_eq!(
        run(
            "{{ if $x := .level }}{{ $x }}{{ end }}{{ with $y := .status }}{{ $y }}{{ . }}{{ end }}"
        ),
        "error500500"
    );
    assert_eq!(
        run("{{ range $k, $v := . }}{{ $k }}={{ $v }};{{ end }}{{ . }}"),
        "a=b;level=error;map[a:b level:error]"
    );
    assert_eq!(run("a{{/* comment */}}b{{- /* c */ -}}  d"), "abd");
}

#[test]
fn pipes_put_the_value_last() {
    assert_eq!(run(r#"{{ .status | int | add 1 }} {{ .none | default "-" }}"#), "501 -");
    assert_eq!(run(r#"{{ .msg | printf "%-8.3s|" }}"#), "hél     |");
    assert_eq!(
        run(r#"{{ printf "%5.1f|%d|%q|%v" 3.14159 42 .level true }}"#),
        "  3.1|42|\"error\"|true"
    );
}

#[test]
fn functions_have_the_arguments_where_go_has_them() {
    assert_eq!(
        run(r#"{{alignLeft 5 .msg}}|{{alignRight 3 .msg}}|{{alignLeft 8 .msg}}|"#),
        "héllo|lo!|héllo!  |"
    );
    assert_eq!(run(r#"{{unixToTime "1700000000" | date "15:04"}}"#), "22:13");
    assert_eq!(run(r#"{{ regexReplaceAll "(e)r" "err" "$1-" }} {{ count "r" .level }}"#), "e-r 3");
    assert_eq!(run(r#"{{ Replace "aaa" "a" "b" 2 }} {{ "x y" | replace " " "_" }}"#), "bba x_y");
    assert_eq!(
        run(r#"{{ trunc -3 "abcdef" }} {{ substr 1 3 "abcdef" }} {{ "a b" | urlencode }}"#),
        "def bc a+b"
    );
    assert_eq!(
        run(r#"{{ "aGk=" | b64dec }} {{ bytes "2GB" }} {{ duration "1m30s" }}"#),
        "hi 2e+09 90"
    );
    assert_eq!(
        run("{{ divf 10 4 }} {{ mod 7 4 }} {{ round 1.255 1 }} {{ max 1 7 3 }}"),
        "2.5 3 1.3 7"
    );
}

#[test]
fn numbers_are_computed_as_in_decimals() {
    assert_eq!(
        run("{{ addf 0.1 0.2 }} {{ mulf 1.1 1.1 }} {{ divf 2 3 }}"),
        "0.3 1.21 0.6666666666666667"
    );
    assert_eq!(
        run(r#"{{ maxf 1 (float64 "NaN") }} {{ minf (float64 "-Inf") (float64 "NaN") }}"#),
        "NaN -Inf"
    );
    assert_eq!(run("{{ round -1.23 1 }} {{ round 1.26 1 0.7 }}"), "-1.3 1.2");
}

#[test]
fn bounds_of_text_are_those_of_go() {
    assert_eq!(
        run(r#"{{ substr -1 3 "abcdef" }} {{ substr 2 -1 "abcdef" }} {{ substr 2 9 "abc" }}"#),
        "abc cdef c"
    );
    assert_eq!(run(r#"{{ alignLeft -1 "ab" }}|{{ fromJson "[null]" }}"#), "ab|[<nil>]");
    for text in [
        r#"{{ substr 4 9 "abc" }}"#,
        r#"{{ substr -1 -1 "abc" }}"#,
        r#"{{ substr 2 1 "abc" }}"#,
        r#"{{ repeat -1 "abc" }}"#,
        r#"{{ indent -1 "abc" }}"#,
        "{{ divf 1 0 }}",
        r#"{{ addf 1 (float64 "+Inf") }}"#,
    ] {
        assert!(run(text).starts_with("error: "), "{text}: {}", run(text));
    }
}

#[test]
fn what_is_printed_looks_as_in_go() {
    let null = r#"(fromJson "null")"#;
    assert_eq!(
        run(&format!("{{{{ {null} }}}} {{{{ print {null} }}}} {{{{ html {null} }}}}")),
        "<no value> <nil> &lt;no value&gt;"
    );
    assert_eq!(run(&format!(r#"{{{{ printf "%v %d" {null} {null} }}}}"#)), "<nil> %!d(<nil>)");
    assert_eq!(
        run(r#"{{ printf "%q %.2q %q" "a\t\x1b\"é" "abc" 39 }}"#),
        r#""a\t\x1b\"é" "ab" '\''"#
    );
    assert_eq!(run(r#"{{ printf "%f %8.1f" (float64 "+Inf") (float64 "NaN") }}"#), "+Inf      NaN");
}

#[test]
fn faults_at_run_time_are_errors_not_panics() {
    for text in [
        "{{ div 1 0 }}",
        r#"{{ .level | add 1 | trunc }}"#,
        r#"{{ regexReplaceAll "(" .msg "x" }}"#,
        r#"{{ repeat 100000000 .msg }}"#,
        "{{ .level.x }}",
        "{{ lt 1 .status }}",
        r#"{{ toDateInZone "2006" "Mars/Base" "2020" }}"#,
        "{{ range 100000 }}{{ range 100000 }}x{{ end }}{{ end }}",
    ] {
        assert!(run(text).starts_with("error: "), "{text}: {}", run(text));
    }
}

#[test]
fn broken_templates_are_refused() {
    let deep = format!("{}{}", "{{ if true }}".repeat(5_000), "{{ end }}".repeat(5_000));
    let parens = format!("{{{{ {}1{} }}}}", "(".repeat(20_000), ")".repeat(20_000));
    for text in [
        "{{",
        "{{.a",
        "{{ if }}x{{ end }}",
        "{{ if .a }}x",
        "{{ end }}",
        "{{ nofunc .a }}",
        "{{ /* spaced */ }}",
        "{{ $x }}",
        "{{ .a | .b }}",
        "{{ break }}",
        "{{ .a .b }}",
        "{{}}",
        "{{ \"a }}",
        "{{ else }}",
        &deep,
        &parens,
    ] {
        assert!(Template::new(text).is_err(), "{}", &text[..text.len().min(40)]);
    }
}

#[test]
fn fields_are_known_beforehand() {
    let template = Template::new("{{ .a }}{{ if .b }}{{ upper (.c | lower) }}{{ end }}").unwrap();
    assert_eq!(template.fields(), ["a", "b", "c"]);
    assert!(!template.uses_all());
    assert!(Template::new("{{ . }}").unwrap().uses_all());
}
