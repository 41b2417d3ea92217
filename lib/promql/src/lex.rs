//! Splits a query into tokens, bounds it, and writes it anew in a form that promql-parser takes.
//!
//! The crate panics on some numbers, knows only Rust's regular expressions and not all of the
//! string syntax. So every string is replaced by a placeholder (its index in [`Tokens::strings`]
//! behind a private-use character, which no query can contain outside a string), and every number
//! or duration by plain decimal seconds that were checked for the place where they stand.

mod duration;
mod number;
mod string;

use crate::QueryError;

pub(crate) use self::duration::Env;

/// Longest query, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// Most tokens. Bounds the crate's quadratic type check and every chain of operators.
const MAX_TOKENS: usize = 2_000;
/// Deepest nesting of brackets of any kind.
pub(crate) const MAX_DEPTH: usize = 128;
/// Marks a placeholder.
const MARK: char = '\u{e000}';
/// Longest duration and latest time: about 290 centuries, so that sums of them do not overflow.
const MAX_SECONDS: f64 = 9.2e11;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A name or keyword.
    Word(String),
    Number(f64),
    /// Index into [`Tokens::strings`].
    Text(usize),
    Punct(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub kind: Kind,
    /// Byte offset.
    pub start: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    pub tokens: Vec<Token>,
    pub strings: Vec<String>,
}

/// Longest first.
const PUNCTUATION: [&str; 25] = [
    "</", ">/", "==", "!=", "<=", ">=", "=~", "!~", "(", ")", "{", "}", "[", "]", ",", "+", "-",
    "*", "/", "%", "^", "<", ">", "=", "@",
];

/// `1:<column>: parse error: <text>` for the byte offset `at`.
pub(crate) fn error_at(query: &str, at: usize, text: &str) -> QueryError {
    let before = query.get(..at).unwrap_or(query);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    QueryError::Parse(format!("{line}:{column}: parse error: {text}"))
}

/// Tokenizes within the bounds above.
pub(crate) fn tokens(query: &str) -> Result<Tokens, QueryError> {
    if query.len() > MAX_BYTES {
        let text = format!("query is longer than {MAX_BYTES} bytes");
        return Err(QueryError::Parse(format!("parse error: {text}")));
    }
    let mut lexer = Lexer { query, at: 0, out: Tokens::default(), open: Vec::new() };
    while lexer.step()? {
        if lexer.out.tokens.len() > MAX_TOKENS {
            let text = format!("query has more than {MAX_TOKENS} tokens");
            return Err(error_at(query, lexer.at, &text));
        }
        if lexer.open.len() > MAX_DEPTH {
            let text = format!("query is nested deeper than {MAX_DEPTH} levels");
            return Err(error_at(query, lexer.at, &text));
        }
    }
    if let Some(open) = lexer.open.last() {
        let name = match open {
            '(' => "unclosed left parenthesis",
            '{' => "unexpected end of input inside braces",
            _ => "unexpected end of input inside brackets",
        };
        return Err(error_at(query, query.len(), name));
    }
    Ok(lexer.out)
}

struct Lexer<'a> {
    query: &'a str,
    at: usize,
    out: Tokens,
    /// Brackets that are open.
    open: Vec<char>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.query[self.at..]
    }

    fn push(&mut self, kind: Kind, len: usize) {
        self.out.tokens.push(Token { kind, start: self.at });
        self.at += len;
    }

    /// Takes one token. `false` at the end.
    fn step(&mut self) -> Result<bool, QueryError> {
        let rest = self.rest();
        let Some(c) = rest.chars().next() else { return Ok(false) };
        let in_brackets = self.open.contains(&'[');
        match c {
            ' ' | '\t' | '\n' | '\r' => self.at += 1,
            '#' => {
                let len = rest.find(['\n', '\r']).unwrap_or(rest.len());
                self.at += len;
            }
            '"' | '\'' | '`' => {
                let (value, len) =
                    string::unquote(rest).map_err(|text| error_at(self.query, self.at, &text))?;
                self.out.strings.push(value);
                let index = self.out.strings.len() - 1;
                self.push(Kind::Text(index), len);
            }
            ':' if in_brackets => self.push(Kind::Punct(":"), 1),
            '0'..='9' | '.' => {
                let (value, len) =
                    number::scan(rest).map_err(|text| error_at(self.query, self.at, &text))?;
                self.push(Kind::Number(value), len);
            }
            'a'..='z' | 'A'..='Z' | '_' | ':' => {
                let len = rest
                    .find(|c: char| {
                        !(c.is_ascii_alphanumeric() || c == '_' || (c == ':' && !in_brackets))
                    })
                    .unwrap_or(rest.len());
                let word = rest[..len].to_owned();
                self.push(Kind::Word(word), len);
            }
            _ => self.punctuation(c)?,
        }
        Ok(true)
    }

    fn punctuation(&mut self, c: char) -> Result<(), QueryError> {
        let Some(p) = PUNCTUATION.iter().find(|p| self.rest().starts_with(**p)) else {
            let text = format!("unexpected character: {c:?}");
            return Err(error_at(self.query, self.at, &text));
        };
        match *p {
            "(" | "{" | "[" => self.open.push(c),
            ")" | "}" | "]" => {
                let partner = match c {
                    ')' => '(',
                    '}' => '{',
                    _ => '[',
                };
                if self.open.pop() != Some(partner) {
                    let name = match c {
                        ')' => "parenthesis",
                        '}' => "brace",
                        _ => "bracket",
                    };
                    let text = format!("unexpected right {name} {c:?}");
                    return Err(error_at(self.query, self.at, &text));
                }
            }
            _ => {}
        }
        self.push(Kind::Punct(p), p.len());
        Ok(())
    }
}

// === impl Tokens ===

impl Tokens {
    /// The query for promql-parser.
    pub(crate) fn rewrite(&self, query: &str, env: Env) -> Result<String, QueryError> {
        let mut out = String::with_capacity(query.len());
        let mut i = 0;
        while let Some(token) = self.tokens.get(i) {
            i += 1;
            match &token.kind {
                // The crate does not know these; `is_trim` tells them apart again.
                Kind::Punct("</") => out.push('<'),
                Kind::Punct(">/") => out.push('>'),
                Kind::Punct("[") => {
                    i = self.rewrite_range(i, query, env, &mut out)?;
                    continue;
                }
                Kind::Punct(p) => out.push_str(p),
                Kind::Word(word) => {
                    self.check_word(i - 1, word, query)?;
                    out.push_str(word);
                    let offset = word.eq_ignore_ascii_case("offset");
                    if offset && let Some(value) = duration::operand(&self.tokens[i..], env) {
                        let fail = |text: &str| error_at(query, token.start, text);
                        let (seconds, used) = value.map_err(|text| fail(&text))?;
                        if !in_range(seconds) {
                            return Err(fail("duration out of range"));
                        }
                        out.push_str(if seconds < 0.0 { " - " } else { " " });
                        out.push_str(&number::canonical(seconds.abs()));
                        i += used;
                    }
                }
                Kind::Number(v) => {
                    let fail = |text: &str| Err(error_at(query, token.start, text));
                    if self.follows_offset(i - 1) && !in_range(*v) {
                        return fail("duration out of range");
                    }
                    if self.follows(i - 1, "@") && !in_range(*v) {
                        return fail("timestamp out of bounds for @ modifier");
                    }
                    out.push_str(&number::canonical(*v));
                }
                Kind::Text(index) => {
                    out.push('"');
                    out.push(MARK);
                    out.push_str(&index.to_string());
                    out.push('"');
                }
            }
            out.push(' ');
        }
        Ok(out)
    }

    /// Writes `[range]` or `[range:step]`, of which token `from` is the first within. Answers the
    /// token behind.
    fn rewrite_range(
        &self,
        from: usize,
        query: &str,
        env: Env,
        out: &mut String,
    ) -> Result<usize, QueryError> {
        let is = |t: &Token, p: &str| matches!(t.kind, Kind::Punct(q) if q == p);
        let rest = &self.tokens[from..];
        let end = rest.iter().position(|t| is(t, "]")).unwrap_or(rest.len());
        let inside = &rest[..end];
        let colon = inside.iter().position(|t| is(t, ":"));
        let parts = match colon {
            Some(at) => (&inside[..at], Some(&inside[at + 1..])),
            None => (inside, None),
        };
        let at = |part: &[Token]| part.first().map_or(query.len(), |t| t.start);
        let seconds = |part: &[Token]| {
            let fail = |text: &str| error_at(query, at(part), text);
            if let [Token { kind: Kind::Word(word), .. }] = part
                && is_infinite_word(word)
            {
                return Err(fail("duration out of range"));
            }
            let v = duration::evaluate(part, env).map_err(|text| fail(&text))?;
            if !in_range(v) {
                return Err(fail("duration out of range"));
            }
            if v < 0.001 {
                return Err(fail("duration must be greater than 0"));
            }
            Ok(number::canonical(v))
        };
        out.push('[');
        out.push_str(&seconds(parts.0)?);
        if let Some(step) = parts.1 {
            out.push_str(" : ");
            if !step.is_empty() {
                out.push_str(&seconds(step)?);
            }
        }
        out.push_str("] ");
        Ok(from + end + 1)
    }

    /// Refuses what the crate would panic on or misread.
    fn check_word(&self, i: usize, word: &str, query: &str) -> Result<(), QueryError> {
        let previous = i.checked_sub(1).and_then(|p| self.tokens.get(p)).map(|t| &t.kind);
        if word.eq_ignore_ascii_case("anchored") || word.eq_ignore_ascii_case("smoothed") {
            let after_selector = match previous {
                Some(Kind::Punct(p)) => ["]", "}"].contains(p),
                Some(Kind::Word(_)) => true,
                _ => false,
            };
            if after_selector {
                return Err(QueryError::unsupported("anchored and smoothed modifiers"));
            }
        }
        if is_infinite_word(word) && (self.follows_offset(i) || self.follows(i, "@")) {
            let what = if self.follows(i, "@") {
                "timestamp out of bounds"
            } else {
                "duration out of range"
            };
            return Err(error_at(query, self.tokens[i].start, what));
        }
        Ok(())
    }

    /// Whether token `i` stands behind `offset`, with or without a sign.
    fn follows_offset(&self, i: usize) -> bool {
        let is_offset = |k: &Kind| matches!(k, Kind::Word(w) if w.eq_ignore_ascii_case("offset"));
        self.before(i).is_some_and(is_offset)
    }

    fn follows(&self, i: usize, punct: &str) -> bool {
        matches!(self.before(i), Some(Kind::Punct(p)) if *p == punct)
    }

    /// The token before `i` and its signs.
    fn before(&self, i: usize) -> Option<&Kind> {
        let before = &self.tokens[..i];
        let sign = |t: &&Token| !matches!(t.kind, Kind::Punct("+" | "-"));
        before.iter().rev().find(sign).map(|t| &t.kind)
    }

    /// Whether the `n`-th of all `<`, `>`, `</` and `>/` trims histograms.
    pub(crate) fn is_trim(&self, n: usize) -> bool {
        let punct = |t: &Token| match t.kind {
            Kind::Punct(p @ ("<" | ">" | "</" | ">/")) => Some(p.len() == 2),
            _ => None,
        };
        self.tokens.iter().filter_map(punct).nth(n).unwrap_or(false)
    }

    /// A message of the crate with the strings of the query instead of placeholders.
    pub(crate) fn readable(&self, text: &str) -> String {
        let mut parts = text.split(MARK);
        let mut out = parts.next().unwrap_or("").to_owned();
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (index, rest) = part.split_at(digits);
            let known = index.parse::<usize>().ok().and_then(|i| self.strings.get(i));
            out.push_str(known.map_or("", String::as_str));
            out.push_str(rest);
        }
        out
    }

    /// The string for which a placeholder stands.
    pub(crate) fn resolve<'a>(&'a self, text: &'a str) -> &'a str {
        text.strip_prefix(MARK)
            .and_then(|index| index.parse::<usize>().ok())
            .and_then(|index| self.strings.get(index))
            .map_or(text, String::as_str)
    }
}

/// Whether a duration or time can be kept in milliseconds.
fn in_range(seconds: f64) -> bool {
    seconds.abs() <= MAX_SECONDS
}

fn is_infinite_word(word: &str) -> bool {
    word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("nan")
}
