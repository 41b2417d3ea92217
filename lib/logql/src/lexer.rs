//! Cuts query text into tokens. Linear, never recursive, and bounded by [`MAX_QUERY_BYTES`] and [`MAX_TOKENS`].

mod string;

pub(crate) use self::string::unquote;
use crate::error::ParseError;
use crate::units;

/// Longest query text accepted, in bytes.
pub const MAX_QUERY_BYTES: usize = 131_072;
/// Most tokens a query may have.
pub const MAX_TOKENS: usize = 10_000;

/// Byte offsets into the query text. Two spans are always equal: a tree is compared by meaning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tok {
    Ident(String),
    Str(String),
    Number(f64),
    /// Nanoseconds.
    Duration(i64),
    Bytes(u64),
    /// `[5m]`, nanoseconds.
    Range(i64),
    /// `[10m:30s]`, nanoseconds.
    Subrange(i64, Option<i64>),
    /// `--strict`.
    Flag(String),
    /// An operator or punctuation mark.
    Op(&'static str),
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) tok: Tok,
    pub(crate) span: Span,
}

/// Operators, longest first where one begins another.
const OPS: [&str; 28] = [
    "|=", "|~", "|>", "||", "==", "=~", "!=", "!~", "!>", ">=", "<=", "=", ">", "<", "+", "-", "*",
    "/", "%", "^", "|", "(", ")", "{", "}", ",", ".", "@",
];

impl Tok {
    /// The token as an error message names it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Ident(name) => format!("IDENTIFIER {name}"),
            Self::Str(_) => "STRING".to_owned(),
            Self::Number(_) => "NUMBER".to_owned(),
            Self::Duration(_) => "DURATION".to_owned(),
            Self::Bytes(_) => "BYTES".to_owned(),
            Self::Range(_) => "RANGE".to_owned(),
            Self::Subrange(..) => "SUBQUERY_RANGE".to_owned(),
            Self::Flag(_) => "PARSER_FLAG".to_owned(),
            Self::Op(op) => (*op).to_owned(),
            Self::End => "$end".to_owned(),
        }
    }
}

/// All tokens of `query`, with [`Tok::End`] as the last.
pub(crate) fn tokens(query: &str) -> Result<Vec<Token>, ParseError> {
    if query.len() >= MAX_QUERY_BYTES {
        let len = query.len();
        return Err(ParseError::whole(format!(
            "query of {len} bytes is longer than the limit of {MAX_QUERY_BYTES}"
        )));
    }
    let mut lexer = Lexer { query, pos: 0 };
    let mut out = Vec::new();
    loop {
        lexer.skip_blanks();
        let start = lexer.pos;
        let tok = lexer.next()?;
        let done = tok == Tok::End;
        out.push(Token { tok, span: Span { start, end: lexer.pos } });
        if done {
            return Ok(out);
        }
        if out.len() > MAX_TOKENS {
            return Err(ParseError::whole(format!("query has more than {MAX_TOKENS} tokens")));
        }
    }
}

struct Lexer<'a> {
    query: &'a str,
    pos: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.query[self.pos..]
    }

    fn error(&self, at: usize, message: impl Into<String>) -> ParseError {
        ParseError::at(self.query, at, message)
    }

    /// Whitespace and `#` comments.
    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.pos += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.pos += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn next(&mut self) -> Result<Tok, ParseError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Tok::End) };
        if first == '"' || first == '`' {
            return self.string(first);
        }
        if first == '[' {
            return self.range();
        }
        let second_digit = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        if first.is_ascii_digit() || (first == '.' && second_digit) {
            return self.number();
        }
        if first == '_' || first.is_alphabetic() {
            let len = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
            self.pos += len;
            return Ok(Tok::Ident(rest[..len].to_owned()));
        }
        if let Some(flag) = rest.strip_prefix("--") {
            let len =
                flag.find(|c: char| c != '-' && !c.is_ascii_alphanumeric()).unwrap_or(flag.len());
            if flag.starts_with(|c: char| c.is_ascii_alphabetic()) {
                self.pos += 2 + len;
                return Ok(Tok::Flag(flag[..len].to_owned()));
            }
        }
        match OPS.iter().find(|op| rest.starts_with(**op)) {
            Some(op) => {
                self.pos += op.len();
                Ok(Tok::Op(op))
            }
            None => Err(self.error(self.pos, format!("unexpected char {first:?}"))),
        }
    }

    fn string(&mut self, quote: char) -> Result<Tok, ParseError> {
        let start = self.pos;
        match unquote(self.rest(), quote) {
            Ok((text, len)) => {
                self.pos += len;
                Ok(Tok::Str(text))
            }
            Err(what) => Err(self.error(start, what)),
        }
    }

    fn range(&mut self) -> Result<Tok, ParseError> {
        let start = self.pos;
        let rest = &self.rest()[1..];
        let Some(len) = rest.find(']') else {
            return Err(self.error(start, "missing closing ']' in duration"));
        };
        let text = rest[..len].trim();
        self.pos += len + 2;
        let positive = |text: &str| match units::prometheus_duration(text) {
            Some(ns) if ns > 0 => Ok(ns),
            Some(_) => Err(self.error(start, "duration must be greater than 0")),
            None => Err(self.error(start, format!("not a valid duration string: {text:?}"))),
        };
        match text.split_once(':') {
            None => Ok(Tok::Range(positive(text)?)),
            Some((range, "")) => Ok(Tok::Subrange(positive(range.trim_end())?, None)),
            Some((range, step)) => {
                let range = positive(range.trim_end())?;
                Ok(Tok::Subrange(range, Some(positive(step.trim_start())?)))
            }
        }
    }

    /// A number with or without a unit. Which one it is shows only when it is read to its end.
    fn number(&mut self) -> Result<Tok, ParseError> {
        let rest = self.rest();
        let mut len = 0;
        let hex = rest.starts_with("0x") || rest.starts_with("0X");
        let mut last = ' ';
        for c in rest.chars() {
            let exponent = if hex { "pP" } else { "eE" };
            let sign = matches!(c, '+' | '-')
                && exponent.contains(last)
                && rest[len + 1..].starts_with(|c: char| c.is_ascii_digit());
            if !(c.is_alphanumeric() || c == '.' || c == '_' || sign) {
                break;
            }
            last = c;
            len += c.len_utf8();
        }
        let text = &rest[..len];
        let start = self.pos;
        self.pos += len;
        let prefixed =
            text.len() > 1 && text.starts_with('0') && text.as_bytes()[1].is_ascii_alphabetic();
        if let Some(value) = units::go_float(text) {
            return Ok(Tok::Number(value));
        }
        if let Some(ns) = units::prometheus_duration(text).or_else(|| units::go_duration(text)) {
            return Ok(Tok::Duration(ns));
        }
        if let Some(bytes) = units::query_bytes(text) {
            return Ok(Tok::Bytes(bytes));
        }
        let what = if prefixed { "unable to parse literal as a float" } else { "invalid number" };
        Err(self.error(start, format!("{what}: {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toks(query: &str) -> Vec<Tok> {
        tokens(query).unwrap().into_iter().map(|t| t.tok).collect()
    }

    #[test]
    fn numbers_durations_and_sizes_are_told_apart() {
        assert_eq!(
            toks("1 .5 1e3 0x1p3 1d12h 1.5h 17us 5MB 2KiB 1e-2"),
            [
                Tok::Number(1.0),
                Tok::Number(0.5),
                Tok::Number(1e3),
                Tok::Number(8.0),
                Tok::Duration(36 * 3_600_000_000_000),
                Tok::Duration(5_400_000_000_000),
                Tok::Duration(17_000),
                Tok::Bytes(5_000_000),
                Tok::Bytes(2048),
                Tok::Number(0.01),
                Tok::End
            ]
        );
        for bad in
            ["0x1A", "0o7", "1mb", "5x", "'a'", "[5minutes]", "[5]", "[5m", "\"a", "`a", "\0"]
        {
            assert!(tokens(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn comments_and_flags_are_seen() {
        assert_eq!(
            toks("a # b \"\n--keep-empty |="),
            [Tok::Ident("a".into()), Tok::Flag("keep-empty".into()), Tok::Op("|="), Tok::End]
        );
    }

    #[test]
    fn errors_say_where() {
        let err = tokens("{a=\"b\"}\n  'x'").unwrap_err();
        assert_eq!((err.line, err.col), (2, 3));
        assert!(tokens(&"a ".repeat(20_000)).unwrap_err().message.contains("10000 tokens"));
        assert!(tokens(&"a".repeat(131_072)).unwrap_err().message.contains("131072"));
    }
}
