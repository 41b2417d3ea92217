//! Lines come back as they were; searches and reductions agree with the lines themselves.

use bytes::Bytes;
use memchr::memmem::Finder;
use proptest::prelude::*;

use super::*;

const T0: i64 = 1_795_000_000_000_000_000;

fn encode(lines: &[impl AsRef<[u8]>], times: &[i64]) -> Bytes {
    let (mut text, mut ends) = (Vec::new(), Vec::new());
    for line in lines {
        text.extend_from_slice(line.as_ref());
        ends.push(text.len() as u32);
    }
    let mut out = Vec::new();
    LinesEncoder::new(1).encode(&text, &ends, times, &mut out).unwrap();
    out.into()
}

fn times(n: usize) -> Vec<i64> {
    (0..n as i64).map(|i| T0 + i * 777_777_777).collect()
}

fn open(bytes: Bytes) -> Lines {
    let lines = Lines::open(bytes).unwrap();
    lines.unpack_strings().unwrap();
    lines
}

fn roundtrip(lines: &[impl AsRef<[u8]>]) -> Lines {
    let times = times(lines.len());
    let opened = open(encode(lines, &times));
    assert_eq!(opened.len(), lines.len());
    for (row, (line, ts)) in lines.iter().zip(&times).enumerate() {
        let mut out = Vec::new();
        opened.append(row, *ts, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(line.as_ref()), "{row}");
    }
    opened
}

fn noise(i: u64) -> u64 {
    let x = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ x >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Lines of several programs, as they are in a container's stream.
fn mixed(n: u64) -> Vec<String> {
    let levels = ["info", "warn", "error"];
    let messages = ["request completed", "cache miss", "connection timeout", "say \\\"hi\\\""];
    (0..n)
        .map(|i| {
            let r = noise(i);
            let (level, message) = (levels[(r % 3) as usize], messages[(r >> 8) as usize % 4]);
            let status = [200, 404, 503][(r >> 16) as usize % 3];
            match r >> 24 & 3 {
                0 => format!(
                    "{{\"ts\":\"2026-11-18T{:02}:{:02}:09.{:06}Z\",\"level\":\"{level}\",\"msg\":\"{message}\",\"status\":{status},\
                     \"ms\":{}.{:03},\"ok\":{},\"trace\":\"{:016x}\"}}",
                    i / 60 % 24, i % 60, r % 1_000_000, r % 90, r % 1000, r.is_multiple_of(2), noise(r)
                ),
                1 => format!(
                    "ts=2026-11-18T10:00:{:02}Z caller=h{}.go:{} level={level} msg=\"{message}\" status={status} took={}.{}ms",
                    i % 60, r % 3, r % 400, r % 77, r % 10
                ),
                2 => format!("10.0.{}.{} - \"GET /api/v1/items/{} HTTP/1.1\" {status} {:04}", r % 9, r % 255, r % 9999, r % 1000),
                _ => format!("E1118 10:00:{:02}.{:06} {message} for pod-{:010x} seq {}", i % 60, r % 1_000_000, noise(r) >> 24, i + 1000),
            }
        })
        .collect()
}

#[test]
fn lines_of_every_kind_come_back() {
    let lines = mixed(2000);
    let opened = roundtrip(&lines);
    assert!(opened.templates.len() >= 4);
    let no_lines: [&str; 0] = [];
    roundtrip(&no_lines);
    roundtrip(&["", "", "a", "\0", "7", "007", "", "9999999999999999999999", "é", "\"", "\"\""]);
    roundtrip(&(0..40).map(|i| format!("{:0w$}", i, w = i % 5 + 1)).collect::<Vec<_>>());
    roundtrip(&(0..40).map(|i| format!("a={:0w$}", i, w = i % 5 + 1)).collect::<Vec<_>>());
    roundtrip(&(0..600).map(|i| format!("id=w{}x{}y", i * 7, i)).collect::<Vec<_>>());
    roundtrip(&(0..4000u64).map(|i| format!("{}", noise(i / 3))).collect::<Vec<_>>());
    roundtrip(&(0..40).map(|i| [b'x', 0xff, 0x80 + i, b'1']).collect::<Vec<_>>());
}

#[test]
fn what_is_alike_is_small() {
    let lines: Vec<String> = (0..5000u64)
        .map(|i| {
            format!(
                "ts={} level=info msg=\"request completed\" user={} trace={:016x}",
                i,
                noise(i) % 1000,
                noise(i * 3)
            )
        })
        .collect();
    let len: usize = lines.iter().map(String::len).sum();
    let bytes = encode(&lines, &times(lines.len()));
    // 8 bytes of trace, 10 bits of user, 13 of ts.
    assert!(bytes.len() < 5000 * 12, "{} of {len}", bytes.len());
}

fn check_search(lines: &[String], needle: &str) -> usize {
    let times = times(lines.len());
    let opened = open(encode(lines, &times));
    let matches = opened.search(&Finder::new(needle));
    let mut n_unknown = 0;
    for (row, line) in lines.iter().enumerate() {
        match opened.known(&matches, row) {
            Known::May => n_unknown += 1,
            known => {
                assert_eq!(line.contains(needle), known == Known::Has, "{needle:?} in {line:?}");
            }
        }
    }
    n_unknown
}

#[test]
fn searches_agree_with_the_lines() {
    let lines = mixed(700);
    assert_eq!(check_search(&lines, "connection timeout"), 0, "decided by the columns");
    assert_eq!(check_search(&lines, "\"level\":\""), 0);
    assert_eq!(check_search(&lines, "00000000-dead-4eef-a000-000000000000"), 0);
    for needle in [
        "",
        "e",
        "5",
        "\"level\":\"error\"",
        "level=error msg",
        "status=50",
        " status=404 took=1",
        "HTTP/1.1\" 5",
        "T10:00:0",
        ":09.1",
        "seq 10",
        "pod-0",
        "items/12",
        "ms\":1",
        "true",
        "\\\"",
        "ok\":true,\"trace\":\"",
        "for pod-a",
        "v1",
        "GET /api/v1",
        "9 - \"GET",
        "zzz",
        "}",
        "{",
        "00",
    ] {
        check_search(&lines, needle);
    }
    for line in lines.iter().step_by(97) {
        for (from, len) in [(0, 9), (5, 12), (17, 30), (31, 5)] {
            if let Some(needle) = line.get(from..from + len) {
                check_search(&lines, needle);
            }
        }
    }
}

#[test]
fn texts_over_many_borders_are_found_in_bounded_time() {
    // Each value may end before or behind each blank: 2^90 ways to lay the needle over a line.
    let line = |i: u64| {
        let digit = |s: u64| noise(i * 211 + s) % 2 + 1;
        (0..90).map(|s| format!("{}{}", digit(s), digit(s + 90))).collect::<Vec<_>>().join(" ")
    };
    let lines: Vec<String> = (0..60).map(line).collect();
    for needle in
        [&lines[7][1..200], &lines[9][3..60], &"12 ".repeat(30), &"1".repeat(3000), &lines[3]]
    {
        check_search(&lines, needle);
    }
    let adjacent: Vec<String> =
        (0..60).map(|i| format!("at 10:20:{:02}a{}b{i}c=x{i}", i % 60, i * 7)).collect();
    for needle in ["0a7b", ":03a21b3c", "3c=x3", "10:20:0", "1"] {
        check_search(&adjacent, needle);
    }
}

#[test]
fn reduced_lines_have_the_wanted_fields() {
    let lines = mixed(500);
    let times = times(lines.len());
    let opened = open(encode(&lines, &times));
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    let json = Fields { syntax: Syntax::Json, names: names(&["status", "ms"]) };
    let plan = opened.reduce(&json);
    let clean: Vec<String> = lines.iter().filter(|l| l.starts_with('{')).cloned().collect();
    let mut n_reduced = 0;
    for (row, line) in lines.iter().enumerate() {
        let mut out = Vec::new();
        opened.append_reduced(&plan, row, times[row], &mut out);
        let out = String::from_utf8(out).unwrap();
        if out == *line {
            continue;
        }
        n_reduced += 1;
        let field = |text: &str, name: &str| {
            let rest = text.split_once(&format!("\"{name}\":")).unwrap().1.to_owned();
            rest.split([',', '}']).next().unwrap().to_owned()
        };
        assert!(out.starts_with("{\"status\":") && out.len() < 40, "{out}");
        assert_eq!(field(&out, "status"), field(line, "status"));
        assert_eq!(field(&out, "ms"), field(line, "ms"));
    }
    // Messages with escapes keep the JSON lines whole.
    assert_eq!(n_reduced, 0);
    let clean: Vec<String> = clean.into_iter().filter(|l| !l.contains('\\')).collect();
    let opened = open(encode(&clean, &times[..clean.len()]));
    let plan = opened.reduce(&json);
    for (row, line) in clean.iter().enumerate() {
        let mut out = Vec::new();
        opened.append_reduced(&plan, row, times[row], &mut out);
        let out = String::from_utf8(out).unwrap();
        let status = line.split_once("\"status\":").unwrap().1.split_once(',').unwrap().0;
        assert!(out.starts_with(&format!("{{\"status\":{status},\"ms\":")), "{out}");
    }
}

#[test]
fn damaged_bytes_are_errors_or_other_lines() {
    let lines = mixed(60);
    let times = times(lines.len());
    let whole = encode(&lines, &times);
    for len in 0..whole.len() {
        assert!(Lines::open(whole.slice(..len)).is_err(), "{len}");
    }
    for at in 0..whole.len() {
        for flip in [1u8, 0x80, 0xff] {
            let mut bad = whole.to_vec();
            bad[at] ^= flip;
            let Ok(lines) = Lines::open(bad.into()) else { continue };
            if lines.unpack_strings().is_err() {
                continue;
            }
            let mut out = Vec::new();
            (0..lines.len().min(100)).for_each(|row| lines.append(row, T0, &mut out));
            lines.search(&Finder::new("timeout"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_lines_come_back(
        lines in prop::collection::vec(
            prop_oneof![
                "[a-c0-3=\":{}, \\\\.-]{0,24}",
                "[a-b]{1,3}=[0-9]{0,4} \"[x0-9]{0,3}\"",
                "\\{\"k\":\"[ab\\\\0-9]{0,4}\",\"n\":-?[0-9]{1,3}(\\.[0-9]{1,2})?\\}",
                ".{0,12}",
            ],
            0..60,
        ),
        needle in "[a-c0-3=\":{}, .-]{1,4}",
    ) {
        let many: Vec<String> = lines.iter().cycle().take(lines.len() * 5).cloned().collect();
        roundtrip(&many);
        check_search(&many, &needle);
    }
}

#[test]
fn lines_of_too_many_columns_are_kept_as_they_are() {
    let lines = mixed(60);
    let text = lines.concat();
    let ends: Vec<u32> = lines
        .iter()
        .scan(0, |end, line| {
            *end += line.len() as u32;
            Some(*end)
        })
        .collect();
    let times = times(lines.len());
    let mut encoder = LinesEncoder::new(1);
    encoder.max_columns = 20;
    let mut out = Vec::new();
    encoder.encode(text.as_bytes(), &ends, &times, &mut out).unwrap();
    let opened = open(out.into());
    assert_eq!(opened.columns.len(), 1);
    let mut built = Vec::new();
    (0..lines.len()).for_each(|row| opened.append(row, times[row], &mut built));
    assert_eq!(built, text.as_bytes());
}

/// Whether the lines of an encoding stand the test as each line reduced to the field does. Returns how many
/// were known of.
fn check_test(opened: &Lines, times: &[i64], fields: &Fields, name: &str, odd: u8) -> usize {
    let plan = opened.reduce(fields);
    let alone = Fields { syntax: fields.syntax, names: vec![name.to_owned()] };
    let alone = opened.reduce(&alone);
    // Some test that depends on all of the line.
    let passes = |line: &[u8]| line.iter().fold(odd, |sum, b| sum.wrapping_mul(31) ^ b) % 3 != 0;
    let mut known: Vec<Known> = (0..opened.len()).map(|i| of_row(i, odd)).collect();
    opened.test_field(&plan, name, passes, &mut known);
    let mut n_known = 0;
    for (row, known) in known.iter().enumerate() {
        let (mut reduced, mut line) = (Vec::new(), Vec::new());
        opened.append_reduced(&alone, row, times[row], &mut reduced);
        opened.append(row, times[row], &mut line);
        match known {
            Known::May => {}
            Known::Lacks if of_row(row, odd) == Known::Lacks => {}
            _ => {
                assert_eq!(*known == Known::Has, passes(&reduced), "{reduced:?}");
                n_known += 1;
            }
        }
    }
    n_known
}

/// Some rows are ruled out before a test.
fn of_row(row: usize, odd: u8) -> Known {
    if row % 7 == usize::from(odd) % 7 { Known::Lacks } else { Known::Has }
}

#[test]
fn tests_of_fields_agree_with_reduced_lines() {
    let lines: Vec<String> = mixed(900).into_iter().filter(|l| !l.contains('\\')).collect();
    let times = times(lines.len());
    let opened = open(encode(&lines, &times));
    for syntax in [Syntax::Json, Syntax::Logfmt] {
        let names = ["status", "ms", "level", "ts", "msg", "absent"].map(str::to_owned);
        let fields = Fields { syntax, names: names.to_vec() };
        for name in &names {
            for odd in 0..5 {
                let n_known = check_test(&opened, &times, &fields, name, odd);
                assert!(
                    syntax != Syntax::Json || name == "ts" || n_known > 100,
                    "{name} {n_known}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn tests_of_fields_agree_with_reduced_lines_of_any_kind(
        lines in prop::collection::vec(
            prop_oneof![
                "\\{\"k\":\"[ab\\\\0-9:.-]{0,4}\",\"n\":-?[0-9]{1,3}(\\.[0-9]{1,2})?\\}",
                "\\{\"n\":(null|true|1|[0-9]{5}|\"[0-9a-f]{8}\"),\"k\":\"[a-z]{0,2}\",\"n\":1\\}",
                "\\{\"n\":[0-9]{3},\"k\":\\{\"n\":2\\}\\}",
                "k=[a-b]{0,3} n=[0-9]{0,4} \"[x0-9]{0,3}\"",
                "n=\"[0-9]{1,3}ms\" k=[0-9]{2}",
            ],
            1..40,
        ),
        odd in 0u8..7,
    ) {
        let many: Vec<String> = lines.iter().cycle().take(lines.len() * 5).cloned().collect();
        let times = times(many.len());
        let opened = open(encode(&many, &times));
        for syntax in [Syntax::Json, Syntax::Logfmt] {
            let fields = Fields { syntax, names: vec!["n".to_owned(), "k".to_owned()] };
            for name in ["n", "k"] {
                check_test(&opened, &times, &fields, name, odd);
            }
        }
    }
}
