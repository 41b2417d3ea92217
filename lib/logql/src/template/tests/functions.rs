//! One example for each function that templates have, worked by hand from what Go and Sprig say.

use super::run;

/// Calls and what they print.
fn check(examples: &[(&str, &str)]) {
    for (call, want) in examples {
        assert_eq!(run(&format!("{{{{ {call} }}}}")), *want, "{call}");
    }
}

#[test]
fn text_functions_in_the_order_of_go() {
    check(&[
        (r#"ToLower "AbC""#, "abc"),
        (r#"ToUpper "AbC""#, "ABC"),
        (r#"Replace "aaa" "a" "b" 2"#, "bba"),
        (r#"Replace "aaa" "a" "b" -1"#, "bbb"),
        (r#"Trim "xxhixx" "x""#, "hi"),
        (r#"TrimLeft "xxhixx" "x""#, "hixx"),
        (r#"TrimRight "xxhixx" "x""#, "xxhi"),
        (r#"TrimPrefix "xxhi" "x""#, "xhi"),
        (r#"TrimSuffix "hixx" "x""#, "hix"),
        (r#"TrimSpace "  hi ""#, "hi"),
        (r#"regexReplaceAll "(a+)b" "xaab" "[${1}]""#, "x[aa]"),
        (r#"regexReplaceAllLiteral "(a+)b" "xaab" "[${1}]""#, "x[${1}]"),
        (r#"count "a." "abaaca""#, "2"),
        (r#"urlencode "a b&ä""#, "a+b%26%C3%A4"),
        (r#"urldecode "a+b%26%C3%A4""#, "a b&ä"),
        (r#"alignLeft 3 "héllo""#, "hél"),
        (r#"alignLeft 7 "héllo" | printf "%s|""#, "héllo  |"),
        (r#"alignRight 3 "héllo""#, "llo"),
        (r#"alignRight 7 "héllo""#, "  héllo"),
        (r#"b64dec "aGk=""#, "hi"),
        // An error is a value.
        (r#"b64dec "aGk""#, "illegal base64 data at input byte 0"),
        (r#"b64dec "a""#, "illegal base64 data at input byte 0"),
    ]);
}

#[test]
fn text_functions_in_the_order_of_sprig() {
    check(&[
        (r#"b64enc "hi""#, "aGk="),
        (r#""AbC" | lower"#, "abc"),
        (r#""AbC" | upper"#, "ABC"),
        (r#""two words" | title"#, "Two Words"),
        (r#""abcdef" | trunc 2"#, "ab"),
        (r#""abcdef" | trunc -2"#, "ef"),
        (r#""abcdef" | substr 1 3"#, "bc"),
        (r#""abcdef" | substr 2 -1"#, "cdef"),
        (r#""abc" | contains "bc""#, "true"),
        (r#""abc" | hasPrefix "ab""#, "true"),
        (r#""abc" | hasSuffix "ab""#, "false"),
        (r#""a\nb" | indent 2"#, "  a\n  b"),
        (r#""a" | nindent 1"#, "\n a"),
        (r#""a b c" | replace " " "-""#, "a-b-c"),
        (r#""ab" | repeat 3"#, "ababab"),
        (r#"" a " | trim"#, "a"),
        (r#""--a-" | trimAll "-""#, "a"),
        (r#""a.log" | trimSuffix ".log""#, "a"),
        (r#""v1" | trimPrefix "v""#, "1"),
        (r#""" | default "none""#, "none"),
        (r#""some" | default "none""#, "some"),
    ]);
}

#[test]
fn numbers() {
    check(&[
        (r#"int "42""#, "42"),
        (r#"int "x""#, "0"),
        ("int 3.9", "3"),
        (r#"float64 "2.5""#, "2.5"),
        ("add 1 2 3", "6"),
        ("sub 5 7", "-2"),
        ("mul 2 3 4", "24"),
        ("div 7 2", "3"),
        ("mod 7 4", "3"),
        ("addf 1.5 2", "3.5"),
        ("subf 5 1.5 1", "2.5"),
        ("mulf 1.5 2", "3"),
        ("divf 1 4", "0.25"),
        ("max 1 9 3", "9"),
        ("min 4 2 3", "2"),
        ("maxf 1.5 2.5", "2.5"),
        ("minf 1.5 2.5", "1.5"),
        ("ceil 1.2", "2"),
        ("floor 1.8", "1"),
        ("round 123.5555 3", "123.556"),
        (r#"bytes "1.5KiB""#, "1536"),
        (r#"duration "1m30s""#, "90"),
        (r#"duration_seconds "250ms""#, "0.25"),
    ]);
}

#[test]
fn what_is_no_whole_number_is_the_least_as_in_go() {
    check(&[
        (r#"int (float64 "+Inf")"#, "-9223372036854775808"),
        (r#"int (float64 "NaN")"#, "-9223372036854775808"),
        (r#"int (float64 "-9e18")"#, "-9000000000000000000"),
        (r#"mod (int (float64 "-Inf")) 5"#, "-3"),
    ]);
}

#[test]
fn times_are_told_by_their_digits_and_printed_by_layout() {
    check(&[
        (r#"unixToTime "19675" | date "2006-01-02""#, "2023-11-14"),
        (r#"unixToTime "1700000000" | date "2006-01-02T15:04:05Z07:00""#, "2023-11-14T22:13:20Z"),
        (r#"unixToTime "1700000000123" | unixEpochMillis"#, "1700000000123"),
        (r#"unixToTime "1700000000123456" | unixEpochNanos"#, "1700000000123456000"),
        (r#"unixToTime "1700000000123456789" | unixEpochNanos"#, "1700000000123456789"),
        (r#"toDate "2006-01-02" "2023-11-14" | unixEpoch"#, "1699920000"),
        (r#"toDateInZone "2006-01-02 15:04" "UTC" "2023-11-14 22:13" | unixEpoch"#, "1699999980"),
        // What is no time is the first moment of year 1.
        (r#"toDateInZone "2006-01-02" "UTC" "x" | date "2006""#, "0001"),
        (r#"now | date "2006" | len"#, "4"),
        ("__timestamp__ | unixEpochMillis", "1700000000123"),
    ]);
    assert!(run(r#"{{ unixToTime "123" }}"#).starts_with("error: "));
}

#[test]
fn what_go_has_built_in() {
    check(&[
        (r#"and true "x""#, "x"),
        (r#"or "" "x""#, "x"),
        (r#"not """#, "true"),
        (r#"eq "a" "b" "a""#, "true"),
        (r#"ne "a" "b""#, "true"),
        (r#"lt 1 2"#, "true"),
        ("le 2 2", "true"),
        ("gt 1 2", "false"),
        ("ge 2 2", "true"),
        (r#"len "abc""#, "3"),
        (r#"index (fromJson "[1,2]") 1"#, "2"),
        (r#"slice "abcdef" 1 3"#, "bc"),
        (r#"print 1 2 "a""#, "1 2a"),
        (r#"printf "%05.1f|%x" 3.14159 255"#, "003.1|ff"),
        (r#"printf "%x|%X|%o|%b" -255 -255 -8 -2"#, "-ff|-FF|-10|-10"),
        (r#"println "a""#, "a\n"),
        (r#"html "<a>""#, "&lt;a&gt;"),
        (r#"js "a'b""#, r"a\'b"),
        (r#"urlquery "a b""#, "a+b"),
        (r#"__line__ | upper"#, "THE LINE"),
    ]);
}
