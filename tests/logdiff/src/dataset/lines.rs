//! What the lines say.

use skald_testkit::rng::Rng;

const LEVELS: &[&str] = &["info", "warn", "error", "debug", "INFO"];
const METHODS: &[&str] = &["GET", "POST", "DELETE"];
const PATHS: &[&str] =
    &["/", "/api/v1/users", "/api/v1/users/17", "/search?q=a%20b", "/héllo", "/a/b.js"];
const USERS: &[&str] = &["alice", "bob", "Çelik", "", "o'neil", "a b"];
const STATUS: &[&str] = &["200", "204", "301", "404", "500", "503", "abc", "-1", "2e2", ""];
const DURATIONS: &[&str] =
    &["12ms", "1.5s", "250us", "1m3s", "25h", "2d", "0s", "-3s", "fast", "12", ""];
const SIZES: &[&str] =
    &["5MB", "1.5KiB", "1,024B", "12", "7 kB", "2GiB", "0.5kb", "big", "-1B", ""];
const NUMBERS: &[&str] =
    &["0.5", "1", "7", "1e3", "-2.25", "0x10", "NaN", "+Inf", "1_000", "x", "42"];
const WORDS: &[&str] = &[
    "connected",
    "timeout after 12ms",
    "hello world",
    "日本語テキスト",
    "a=b c=d",
    "<b>&amp;</b>",
    "100%",
    "tab\there",
    "user logged in",
    "cache miss key=abc-123",
    "retry 3/5",
];
const IPS: &[&str] =
    &["10.0.0.1", "192.168.1.77", "172.16.3.4", "::1", "2001:db8::ff", "10.0.0.256", "8.8.8.8"];

/// Structured metadata of one line.
pub(super) fn metadata(rng: &mut Rng) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    if rng.chance(30) {
        out.push(("trace_id", format!("t{}", rng.below(4))));
    }
    if rng.chance(20) {
        out.push(("pod", format!("pod-{}", rng.below(3))));
    }
    // Names that lines have too.
    if rng.chance(12) {
        out.push(("status", rng.pick(STATUS).to_owned()));
    }
    if rng.chance(8) {
        out.push(("user", rng.pick(USERS).to_owned()));
    }
    if rng.chance(4) {
        out.push(("weird-name.x", "1".to_owned()));
    }
    out
}

/// Line `n` of a stream.
pub(super) fn line(kind: &str, rng: &mut Rng, counted: &mut i64, stream: u64, n: usize) -> String {
    let line = match kind {
        _ if rng.chance(2) => String::new(),
        "json" => json(rng),
        "logfmt" => logfmt(rng),
        "nginx" => nginx(rng),
        "plain" => plain(rng),
        "broken" => broken(rng),
        "packed" => packed(rng),
        "colour" => {
            let (level, text) = (rng.pick(LEVELS), rng.pick(WORDS));
            let colour = rng.pick(&["31", "1;32", "0", "38;5;9"]);
            format!(
                "\u{1b}[{colour}m{level}\u{1b}[0m {text} user=\u{1b}[1m{}\u{1b}[m",
                rng.pick(USERS)
            )
        }
        _ => {
            // Falls back to nothing now and then, as a process that was started again.
            *counted = if rng.chance(8) { 0 } else { *counted + rng.between(0, 50) };
            format!("total={counted} level={}", rng.pick(LEVELS))
        }
    };
    // Equal lines at equal times of several streams are told apart.
    if line.is_empty() { line } else { tagged(line, stream, n) }
}

fn tagged(line: String, stream: u64, n: usize) -> String {
    match line.strip_suffix('}') {
        Some(open) if open.len() > 1 => format!("{open},\"seq\":\"{stream}-{n}\"}}"),
        _ => format!("{line} seq={stream}-{n}"),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text bare where it is a JSON number, else quoted.
fn number(text: &str) -> String {
    match text.parse::<serde_json::Number>() {
        Ok(_) => text.to_owned(),
        Err(_) => quoted(text),
    }
}

fn json(rng: &mut Rng) -> String {
    let mut fields = vec![
        format!("\"level\":{}", quoted(rng.pick(LEVELS))),
        format!("\"status\":{}", number(rng.pick(STATUS))),
        format!("\"method\":{}", quoted(rng.pick(METHODS))),
    ];
    let optional = [
        format!("\"path\":{}", quoted(rng.pick(PATHS))),
        format!("\"duration\":{}", quoted(rng.pick(DURATIONS))),
        format!("\"size\" : {}", quoted(rng.pick(SIZES))),
        format!("\"num\":{}", number(rng.pick(NUMBERS))),
        format!("\"ip\":{}", quoted(rng.pick(IPS))),
        format!("\"msg\":{}", quoted(rng.pick(WORDS))),
        format!(
            "\"user\":{{\"name\":{},\"id\":{},\"deep\":{{\"x y\":1.0}}}}",
            quoted(rng.pick(USERS)),
            rng.below(9)
        ),
        "\"tags\":[1,\"b\",{\"c\":null}]".to_owned(),
        format!("\"ok\":{}", rng.chance(50)),
        "\"nothing\":null".to_owned(),
        "\"env\":\"inner\"".to_owned(),
        "\"9lives\":\"cat\",\"9lives\":\"dup\"".to_owned(),
        "\"esc\":\"a\\u00e9\\n\\\"q\\\" \\/\"".to_owned(),
        "\"user_name\":\"flat\"".to_owned(),
        format!("\"trace_id\":\"p{}\"", rng.below(3)),
        "\"\":\"no name\",\"sp ace\":\" x \"".to_owned(),
    ];
    fields.extend(optional.into_iter().filter(|_| rng.chance(45)));
    format!("{{{}}}", fields.join(rng.pick(&[",", ", "])))
}

fn logfmt(rng: &mut Rng) -> String {
    let value = |text: &str| match text.contains([' ', '"', '=', '\t']) {
        true => quoted(text),
        false => text.to_owned(),
    };
    let mut fields = vec![
        format!("level={}", rng.pick(LEVELS)),
        format!("status={}", rng.pick(STATUS)),
        format!("method={}", rng.pick(METHODS)),
    ];
    let optional = [
        format!("path={}", rng.pick(PATHS)),
        format!("duration={}", rng.pick(DURATIONS)),
        format!("size={}", value(rng.pick(SIZES))),
        format!("num={}", rng.pick(NUMBERS)),
        format!("ip={}", rng.pick(IPS)),
        format!("msg={}", value(rng.pick(WORDS))),
        format!("user={}", value(rng.pick(USERS))),
        format!("user.name={}", value(rng.pick(USERS))),
        "bare".to_owned(),
        "empty=".to_owned(),
        "env=inner".to_owned(),
        "level=second".to_owned(),
        "q=\"a\\\"b\\n\"".to_owned(),
        "=novalue".to_owned(),
        "open=\"never closed".to_owned(),
        "mid=a\"b".to_owned(),
        "pod=line".to_owned(),
    ];
    fields.extend(optional.into_iter().filter(|_| rng.chance(35)));
    fields.join(rng.pick(&[" ", "  ", "\t"]))
}

fn nginx(rng: &mut Rng) -> String {
    format!(
        "{} - {} [14/Nov/2023:22:{:02}:{:02} +0000] \"{} {} HTTP/1.1\" {} {} \"-\" \"curl/8.{}\" {}.{:03}",
        rng.pick(IPS),
        rng.pick(&["-", "alice", "bob"]),
        rng.below(60),
        rng.below(60),
        rng.pick(METHODS),
        rng.pick(PATHS),
        rng.pick(&["200", "204", "404", "500"]),
        rng.below(100_000),
        rng.below(9),
        rng.below(2),
        rng.below(1000),
    )
}

fn plain(rng: &mut Rng) -> String {
    let level = rng.pick(LEVELS).to_uppercase();
    let (user, ip) = (rng.pick(USERS), rng.pick(IPS));
    match rng.below(4) {
        0 => format!(
            "2023-11-14T22:01:02Z {level} [main] svc.Main - {} user={user}",
            rng.pick(WORDS)
        ),
        1 => format!(
            "{level}: request from {ip}:8080 took {} size={}",
            rng.pick(DURATIONS),
            rng.pick(SIZES)
        ),
        2 => format!("  {}  ", rng.pick(WORDS)),
        _ => format!("[{level}] <{user}> {} -- {ip}", rng.pick(WORDS)),
    }
}

fn broken(rng: &mut Rng) -> String {
    let whole = json(rng);
    match rng.below(9) {
        0 => whole.chars().take(usize::try_from(rng.below(60)).unwrap_or(0)).collect(),
        1 => format!("{whole} trailing"),
        2 => format!("prefix {whole}"),
        3 => "[1,2,3]".to_owned(),
        4 => "\"just a string\"".to_owned(),
        5 => whole.replace("\":", "\" "),
        6 => whole.replace(',', ",,"),
        7 => format!("{{\"a\":\"\\x\",\"level\":\"{}\"", rng.pick(LEVELS)),
        _ => whole.replace("\"status\"", "status"),
    }
}

fn packed(rng: &mut Rng) -> String {
    let entry = quoted(rng.pick(WORDS));
    let (level, user) = (quoted(rng.pick(LEVELS)), quoted(rng.pick(USERS)));
    match rng.below(6) {
        0 => format!("{{\"level\":{level},\"user\":{user}}}"),
        1 => format!("{{\"_entry\":{entry},\"n\":5,\"level\":{level}}}"),
        2 => format!("{{\"_entry\":{entry},\"app\":\"other\",\"pod\":\"packed\"}}"),
        3 => format!("not packed {user}"),
        _ => format!("{{\"level\":{level},\"user\":{user},\"_entry\":{entry}}}"),
    }
}
