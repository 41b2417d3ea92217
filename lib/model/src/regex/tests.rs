//! The answers are those of Go's package, in the version that Prometheus 3.14 is built with, to
//! patterns compiled as Prometheus does.

#[path = "../../../../fuzz/targets/regex.rs"]
mod target;

use super::*;

/// The first line has values, tab between them; each other one a pattern, a tab and for each value
/// whether all of it matches, or `ERR` and the error.
const ANSWERS: &str = include_str!("../../testdata/regex.txt");

/// Reads `\\` and `\u{…}`.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix("u{") {
            let (code, after) = after.split_once('}').unwrap();
            out.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
            rest = after;
        } else {
            out.push('\\');
            rest = &after[1..];
        }
    }
    out + rest
}

fn bits(values: &[String], is_match: impl Fn(&str) -> bool) -> String {
    values.iter().map(|value| if is_match(value) { '1' } else { '0' }).collect()
}

/// What this crate says, by a matcher and by a plain regular expression.
fn answers(pattern: &str, values: &[String]) -> [String; 2] {
    let error = |e: RegexError| format!("ERR {e}");
    [
        Pattern::new(pattern).map_or_else(error, |p| bits(values, |value| p.is_match(value))),
        anchored(pattern).map_or_else(error, |r| bits(values, |value| r.is_match(value))),
    ]
}

fn differences(table: &str) -> Vec<String> {
    let mut lines = table.lines();
    let values: Vec<String> = lines.next().unwrap().split('\t').map(unescape).collect();
    let mut wrong = Vec::new();
    for line in lines {
        let (pattern, want) = line.rsplit_once('\t').unwrap();
        let pattern = unescape(pattern);
        let want = unescape(want);
        for got in answers(&pattern, &values) {
            if got != want {
                wrong.push(format!("{pattern:?}\n  want {want:?}\n  got  {got:?}"));
            }
        }
    }
    wrong
}

#[test]
fn answers_as_go_does() {
    let wrong = differences(ANSWERS);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Compares with more answers, where somebody has asked for them.
#[test]
fn answers_as_go_does_in_the_table_that_is_named() {
    let Ok(path) = std::env::var("REGEX_ANSWERS") else { return };
    let wrong = differences(&std::fs::read_to_string(path).unwrap());
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn captures_as_go_does() {
    let re = anchored(r"(?P<first>\w+)-(?:x|y)-(?P<1st>.)(?<first>.?)").unwrap();
    let captures = re.captures("ab-x-c\n").unwrap();
    assert_eq!((&captures["first"], &captures[2], &captures[3]), ("ab", "c", "\n"));
    assert_eq!(&anchored("(?U)(a*)(a*)").unwrap().captures("aa").unwrap()[2], "aa");
    assert_eq!(capture_names("(?P<a>x(?<b>y))*(?P<a>z)|(w)").unwrap(), ["a", "b", "a"]);
    assert!(unanchored("b.c").unwrap().is_match("ab-cd"));
    assert!(!unanchored("b.c").unwrap().is_match("ab\ncd"));
}

#[test]
fn known_values_are_known() {
    let known = |pattern| {
        let mut values: Vec<String> =
            Pattern::new(pattern).unwrap().literals()?.into_iter().map(str::to_owned).collect();
        values.sort_unstable();
        Some(values.join(" "))
    };
    for (pattern, want) in [
        ("a|b|", Some(" a b")),
        (r"a\.b|c", Some("a.b c")),
        ("^(pod-(1|2)|x[yz]?)$", Some("pod-1 pod-2 x xy xz")),
        ("(?i)123", Some("123")),
        ("(?i)a", None),
        ("[a-z]{2}", None),
        ("[a-z][a-z]", None),
        ("a.*", None),
        ("a|.*b", None),
        ("a|.+", None),
        ("[ab].+", None),
        (".*", None),
    ] {
        assert_eq!(known(pattern).as_deref(), want, "{pattern}");
    }
}

/// `parts` around each number below `n`, as an alternation.
fn alternation(n: usize, parts: [&str; 2]) -> String {
    let branches: Vec<String> = (0..n).map(|i| format!("{}{i}{}", parts[0], parts[1])).collect();
    branches.join("|")
}

#[test]
fn fifty_thousand_branches_need_no_automaton() {
    for (parts, value) in [
        (["pod-", ""], "pod-49999"),
        ([r"pod\.", ""], "pod.49999"),
        (["pod-", ".*"], "pod-49999-x"),
        ([".*pod-", "y"], "x-pod-49999y"),
        ([".*pod-", "y.*"], "x-pod-49999yz"),
        (["(?i:pod-", ")"], "POD-49999"),
        (["(pod|node)-", ""], "node-49999"),
    ] {
        let pattern = Pattern::new(&alternation(50_000, parts)).expect(parts[0]);
        assert!(!pattern.has_program(), "{parts:?}");
        assert!(pattern.is_match(value), "{parts:?}");
        assert!(!pattern.is_match("pod-x"), "{parts:?}");
        assert!(pattern.cost() < 64 << 20, "{parts:?}: {}", pattern.cost());
    }
}

#[test]
fn refuses_what_would_cost_too_much() {
    assert_eq!(
        Pattern::new(&"a".repeat(MAX_PATTERN + 1)).err(),
        Some(RegexError::TooLong(MAX_PATTERN + 1))
    );
    let refused = |pattern: &str, what: &str| {
        let error = Pattern::new(pattern).unwrap_err().to_string();
        assert!(error.starts_with(&format!("error parsing regexp: {what}: `")), "{error}");
        assert!(error.len() < 2_200);
    };
    refused(&format!("{}a{}", "(".repeat(301), ")".repeat(301)), "expression nests too deeply");
    refused(r"\pL{1000}", "expression too large");
    refused(&".".repeat(MAX_PATTERN), "expression too large");
    refused(&r"\pL".repeat(1_000), "expression too large");
    refused(&format!("[{}]", r"\pL".repeat(1_000)), "expression too large");
    refused(&"[^a]".repeat(140_000), "expression too large");
    refused(&alternation(50_000, ["pod-", "[a-z]x+y"]), "expression too large");
    // In time that grows with the length alone.
    assert!(Pattern::new(&"step()".repeat(150_000)).is_ok());
    refused(&"[[:a]".repeat(MAX_PATTERN / 5), "expression too large");
    refused(&"(".repeat(MAX_PATTERN), "missing closing )");
    assert!(Pattern::new(&"{".repeat(MAX_PATTERN)).is_ok());
    assert!(Pattern::new(&format!("{}a{}", "(".repeat(290), ")*".repeat(290))).is_err());
    assert!(Pattern::new(&format!("{}a{}", "(".repeat(140), ")*".repeat(140))).is_ok());
}

/// A program for a deep pattern is made by recursion, on whatever thread asks for it.
#[test]
fn deep_patterns_need_little_stack() {
    let deep = |open: &str, close: &str, n| format!("{}a{}", open.repeat(n), close.repeat(n));
    let patterns = [deep("(", ")", 299), deep("(?:a|", "b)*", 70), deep("(", "b)*c", 70)];
    let run = move || patterns.iter().all(|p| Pattern::new(p).is_ok() && anchored(p).is_ok());
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap();
    assert!(thread.join().unwrap());
}

mod soup {
    use proptest::prelude::*;

    const PIECES: &[&str] = &[
        "a", "b", "foo", "k", "K", "é", ".", ".*", ".+", "|", "|", "(", ")", "(?i)", "(?i:",
        "(?-s:", "^", "$", "*", "?", "{2}", "{0,3}", "[ab]", "[^a]", r"\d", r"\.", r"\b", r"\Q.",
        r"\E", "[", r"\p{Lu}",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// What a matcher knows without an automaton is what the automaton says.
        #[test]
        fn matchers_agree_with_automata(
            pattern in proptest::collection::vec(0..PIECES.len(), 0..10),
            value in proptest::collection::vec(0..6_usize, 0..5),
        ) {
            let pattern: String = pattern.into_iter().map(|piece| PIECES[piece]).collect();
            let value: String = value.into_iter().map(|piece| PIECES[piece]).collect();
            super::target::compare(format!("{pattern}\n{value}").as_bytes());
        }
    }
}
