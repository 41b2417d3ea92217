//! Cuts template text into plain text and actions, and actions into tokens.

/// A piece of the template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Action(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Ident(String),
    /// `.a`; `spaced` tells `x .a` from `x.a`.
    Field {
        name: String,
        spaced: bool,
    },
    Dot,
    Variable(String),
    Str(String),
    Int(i64),
    Float(f64),
    Open,
    Close,
    Pipe,
    Declare,
    Assign,
    Comma,
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    let mut trim_next = false;
    while let Some(at) = rest.find("{{") {
        let mut plain = &rest[..at];
        if std::mem::take(&mut trim_next) {
            plain = plain.trim_start_matches(BLANKS);
        }
        let mut action = &rest[at + 2..];
        if let Some(after) = action.strip_prefix('-').filter(|a| a.starts_with(BLANKS)) {
            plain = plain.trim_end_matches(BLANKS);
            action = after.trim_start_matches(BLANKS);
        }
        if !plain.is_empty() {
            out.push(Piece::Text(plain.to_owned()));
        }
        if let Some(comment) = action.strip_prefix("/*") {
            let end = comment.find("*/").ok_or("unclosed comment")?;
            let after = &comment[end + 2..];
            let trimmed = after.trim_start_matches(BLANKS).strip_prefix("-}}");
            let trimmed = trimmed.filter(|_| after.starts_with(BLANKS));
            trim_next = trimmed.is_some();
            rest = trimmed
                .or_else(|| after.strip_prefix("}}"))
                .ok_or("comment ends before closing delimiter")?;
            continue;
        }
        let (tokens, after, trim) = action_tokens(action)?;
        trim_next = trim;
        out.push(Piece::Action(tokens));
        rest = after;
    }
    if trim_next {
        rest = rest.trim_start_matches(BLANKS);
    }
    if !rest.is_empty() {
        out.push(Piece::Text(rest.to_owned()));
    }
    Ok(out)
}

/// Tokens up to `}}`, what stands behind it, and whether that is to be trimmed.
fn action_tokens(action: &str) -> Result<(Vec<Token>, &str, bool), String> {
    let mut tokens = Vec::new();
    let mut rest = action;
    loop {
        let trimmed = rest.trim_start_matches(BLANKS);
        let spaced = trimmed.len() != rest.len();
        rest = trimmed;
        if let Some(after) = rest.strip_prefix("}}") {
            return Ok((tokens, after, false));
        }
        if let Some(after) = rest.strip_prefix("-}}").filter(|_| spaced) {
            return Ok((tokens, after, true));
        }
        let (token, len) = token(rest, spaced)?;
        tokens.push(token);
        rest = &rest[len..];
    }
}

fn name_len(text: &str) -> usize {
    text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len())
}

fn token(text: &str, spaced: bool) -> Result<(Token, usize), String> {
    let first = text.chars().next().ok_or("unclosed action")?;
    let second = text[first.len_utf8()..].chars().next().unwrap_or(' ');
    Ok(match first {
        '"' | '`' => {
            let (value, len) = crate::lexer::unquote(text, first).map_err(|e| e.to_owned())?;
            (Token::Str(value), len)
        }
        '\'' => {
            let end = text[1..].find('\'').ok_or("unterminated character constant")?;
            let mut chars = text[1..=end].chars();
            let c = chars.next().filter(|_| chars.next().is_none());
            (Token::Int(i64::from(u32::from(c.ok_or("malformed character constant")?))), end + 2)
        }
        '$' => {
            let len = name_len(&text[1..]) + 1;
            (Token::Variable(text[1..len].to_owned()), len)
        }
        '.' if second == '_' || second.is_alphabetic() => {
            let len = name_len(&text[1..]) + 1;
            (Token::Field { name: text[1..len].to_owned(), spaced }, len)
        }
        '.' if !second.is_ascii_digit() => (Token::Dot, 1),
        '(' => (Token::Open, 1),
        ')' => (Token::Close, 1),
        '|' => (Token::Pipe, 1),
        ',' => (Token::Comma, 1),
        '=' => (Token::Assign, 1),
        ':' if second == '=' => (Token::Declare, 2),
        '_' => (Token::Ident(text[..name_len(text)].to_owned()), name_len(text)),
        c if c.is_alphabetic() => (Token::Ident(text[..name_len(text)].to_owned()), name_len(text)),
        '0'..='9' | '.' | '-' | '+' => return number(text),
        c => return Err(format!("unexpected {c:?} in action")),
    })
}

fn number(text: &str) -> Result<(Token, usize), String> {
    let sign = usize::from(text.starts_with(['-', '+']));
    let mut len = sign;
    let mut last = ' ';
    for c in text[sign..].chars() {
        let exponent_sign = matches!(c, '+' | '-') && matches!(last, 'e' | 'E' | 'p' | 'P');
        if !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || exponent_sign) {
            break;
        }
        last = c;
        len += 1;
    }
    let word = &text[..len];
    let bad = || format!("bad number syntax: {word:?}");
    if let Some(value) = super::convert::parse_int(word) {
        return Ok((Token::Int(value), len));
    }
    let value = crate::units::go_float(word).filter(|v| v.is_finite()).ok_or_else(bad)?;
    Ok((Token::Float(value), len))
}
