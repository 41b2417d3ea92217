//! Text → tokens, as a machine with three states: between tokens of an expression, within braces,
//! and at the start of what stands in brackets. The first error ends the tokens.

mod number;

use super::error::ParseError;
use super::string;
use super::token::{Kind, Token};
use super::{MAX_BYTES, MAX_TOKENS};
use skald_model::quote::{quote, quote_char};
use skald_vector::BinaryOp;

/// The tokens of a query. Behind [`Kind::Error`] or [`Kind::Eof`] there are none.
#[derive(Debug)]
pub(super) struct Lexed {
    pub tokens: Vec<Token>,
    pub error: Option<ParseError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Statements,
    Braces,
    /// From `[` to the first number.
    Brackets,
}

/// An error at the offset where the current token starts, unless it says otherwise.
struct Failure {
    at: Option<usize>,
    text: String,
}

struct Lexer<'a> {
    query: &'a str,
    start: usize,
    pos: usize,
    tokens: Vec<Token>,
    state: State,
    paren_depth: usize,
    bracket_open: bool,
    got_colon: bool,
    got_duration: bool,
}

fn fail<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure { at: None, text: text.into() })
}

/// Splits `query`; fails only when it is too large.
pub(super) fn lex(query: &str) -> Result<Lexed, ParseError> {
    if query.len() > MAX_BYTES {
        let text = format!("query is longer than {MAX_BYTES} bytes");
        return Err(ParseError::at(query, 0, text));
    }
    let mut lexer = Lexer {
        query,
        start: 0,
        pos: 0,
        tokens: Vec::new(),
        state: State::Statements,
        paren_depth: 0,
        bracket_open: false,
        got_colon: false,
        got_duration: false,
    };
    loop {
        if lexer.tokens.len() > MAX_TOKENS {
            let text = format!("query has more than {MAX_TOKENS} tokens");
            return Err(ParseError::at(query, lexer.pos, text));
        }
        match lexer.step() {
            Ok(true) => {}
            Ok(false) => return Ok(Lexed { tokens: lexer.tokens, error: None }),
            Err(failure) => {
                let at = failure.at.unwrap_or(lexer.start);
                lexer.tokens.push(Token { kind: Kind::Error, start: at, end: query.len() });
                let error = Some(ParseError::at(query, at, failure.text));
                return Ok(Lexed { tokens: lexer.tokens, error });
            }
        }
    }
}

pub(super) fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.query.get(self.pos..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let hit = self.peek() == Some(wanted);
        if hit {
            self.pos += wanted.len_utf8();
        }
        hit
    }

    fn eat_while(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.pos += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }

    fn emit(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, start: self.start, end: self.pos });
        self.start = self.pos;
    }

    /// Takes at most one token. `false` at the end.
    fn step(&mut self) -> Result<bool, Failure> {
        self.start = self.pos;
        let Some(c) = self.next() else { return self.end() };
        if is_space(c) {
            return Ok(true);
        }
        match self.state {
            State::Brackets => self.in_brackets(c)?,
            _ if c == '#' => self.eat_while(|c| !matches!(c, '\n' | '\r')),
            State::Braces => self.in_braces(c)?,
            State::Statements => self.statement(c)?,
        }
        Ok(true)
    }

    fn end(&mut self) -> Result<bool, Failure> {
        match self.state {
            State::Braces => fail("unexpected end of input inside braces"),
            State::Brackets => fail("unexpected end of input in duration expression"),
            State::Statements if self.paren_depth > 0 => fail("unclosed left parenthesis"),
            State::Statements if self.bracket_open => fail("unclosed left bracket"),
            State::Statements => {
                self.emit(Kind::Eof);
                Ok(false)
            }
        }
    }

    fn statement(&mut self, c: char) -> Result<(), Failure> {
        let digit_follows = self.peek().is_some_and(|c| c.is_ascii_digit());
        match c {
            ',' => self.emit(Kind::Comma),
            '@' => self.emit(Kind::At),
            '*' | '/' | '%' | '+' | '-' | '^' => self.arithmetic(c),
            '=' | '!' | '<' | '>' => self.comparison(c)?,
            '"' | '\'' | '`' => self.text()?,
            '(' | ')' => self.parenthesis(c)?,
            '{' => {
                self.emit(Kind::LeftBrace);
                self.state = State::Braces;
            }
            '[' if self.bracket_open => {
                return fail(format!("unexpected left bracket {}", quote_char(c)));
            }
            '[' => {
                self.emit(Kind::LeftBracket);
                self.got_colon = false;
                self.bracket_open = true;
                self.state = State::Brackets;
            }
            ']' if !self.bracket_open => {
                return fail(format!("unexpected right bracket {}", quote_char(c)));
            }
            ']' => {
                self.emit(Kind::RightBracket);
                self.bracket_open = false;
            }
            c if c.is_ascii_digit() || (c == '.' && digit_follows) => self.number()?,
            c if is_alpha(c) || c == ':' => {
                if self.bracket_open {
                    return self.word_in_brackets(c);
                }
                self.word();
            }
            c => return fail(format!("unexpected character: {}", quote_char(c))),
        }
        Ok(())
    }

    fn arithmetic(&mut self, c: char) {
        self.emit(Kind::Op(match c {
            '*' => BinaryOp::Mul,
            '/' => BinaryOp::Div,
            '%' => BinaryOp::Mod,
            '+' => BinaryOp::Add,
            '-' => BinaryOp::Sub,
            _ => BinaryOp::Pow,
        }));
    }

    fn comparison(&mut self, c: char) -> Result<(), Failure> {
        let kind = match (c, self.peek()) {
            ('=', Some('~')) => return fail("unexpected character after '=': '~'"),
            ('=', Some('=')) => Kind::Op(BinaryOp::Eq),
            ('!', Some('=')) => Kind::Op(BinaryOp::Ne),
            ('<', Some('=')) => Kind::Op(BinaryOp::Le),
            ('<', Some('/')) => Kind::Op(BinaryOp::TrimUpper),
            ('>', Some('=')) => Kind::Op(BinaryOp::Ge),
            ('>', Some('/')) => Kind::Op(BinaryOp::TrimLower),
            ('!', other) => {
                return fail(format!("unexpected character after '!': {}", shown(other)));
            }
            (c, _) => {
                self.emit(match c {
                    '=' => Kind::Equal,
                    '<' => Kind::Op(BinaryOp::Lt),
                    _ => Kind::Op(BinaryOp::Gt),
                });
                return Ok(());
            }
        };
        self.next();
        self.emit(kind);
        Ok(())
    }

    fn parenthesis(&mut self, c: char) -> Result<(), Failure> {
        if c == '(' {
            self.paren_depth += 1;
            self.emit(Kind::LeftParen);
            return Ok(());
        }
        let Some(depth) = self.paren_depth.checked_sub(1) else {
            let text = format!("unexpected right parenthesis {}", quote_char(c));
            return Err(Failure { at: Some(self.pos), text });
        };
        self.paren_depth = depth;
        self.emit(Kind::RightParen);
        Ok(())
    }

    fn text(&mut self) -> Result<(), Failure> {
        let source = self.query.get(self.start..).unwrap_or("");
        match string::unquote(source) {
            Ok((_, len)) => self.pos = self.start + len,
            Err(text) => return fail(text),
        }
        self.emit(Kind::Text);
        Ok(())
    }

    fn word(&mut self) {
        self.eat_while(|c| is_alpha(c) || c.is_ascii_digit() || c == ':');
        let word = &self.query[self.start..self.pos];
        let kind = match Kind::keyword(word) {
            // Names of metrics unless a value follows.
            Some(Kind::Fill | Kind::FillLeft | Kind::FillRight)
                if !self.rest().trim_start_matches(is_space).starts_with('(') =>
            {
                Kind::Identifier
            }
            Some(keyword) => keyword,
            None if word.contains(':') => Kind::MetricIdentifier,
            None => Kind::Identifier,
        };
        self.emit(kind);
    }

    /// A keyword of duration expressions or the colon, behind the first number in brackets.
    fn word_in_brackets(&mut self, c: char) -> Result<(), Failure> {
        if c == ':' {
            if self.got_colon {
                return fail(format!("unexpected colon {}", quote_char(c)));
            }
            self.got_colon = true;
            self.emit(Kind::Colon);
            return Ok(());
        }
        if self.duration_keyword() {
            return Ok(());
        }
        fail(format!("unexpected character: {}, expected ':'", quote_char(c)))
    }

    fn duration_keyword(&mut self) -> bool {
        let begin = self.pos;
        self.eat_while(is_alpha);
        let word = self.query[self.start..self.pos].to_ascii_lowercase();
        match Kind::duration_keyword(&word) {
            Some(kind) => self.emit(kind),
            None => self.pos = begin,
        }
        self.start == self.pos
    }

    fn in_braces(&mut self, c: char) -> Result<(), Failure> {
        match c {
            ',' => self.emit(Kind::Comma),
            '"' | '\'' | '`' => self.text()?,
            '=' => {
                let kind = if self.eat('~') { Kind::EqualRegex } else { Kind::Equal };
                self.emit(kind);
            }
            '!' => {
                let kind = match self.peek() {
                    Some('~') => Kind::NotRegex,
                    Some('=') => Kind::Op(BinaryOp::Ne),
                    other => {
                        let shown = shown(other);
                        return fail(format!(
                            "unexpected character after '!' inside braces: {shown}"
                        ));
                    }
                };
                self.next();
                self.emit(kind);
            }
            '{' => return fail(format!("unexpected left brace {}", quote_char(c))),
            '}' => {
                self.emit(Kind::RightBrace);
                self.state = State::Statements;
            }
            c if is_alpha(c) => {
                self.eat_while(|c| is_alpha(c) || c.is_ascii_digit());
                self.emit(Kind::Identifier);
            }
            c => return fail(format!("unexpected character inside braces: {}", quote_char(c))),
        }
        Ok(())
    }

    fn in_brackets(&mut self, c: char) -> Result<(), Failure> {
        let digit_follows = self.peek().is_some_and(|c| c.is_ascii_digit());
        let after =
            |lexer: &Self, text: &str| Err(Failure { at: Some(lexer.pos), text: text.into() });
        match c {
            ']' => {
                self.emit(Kind::RightBracket);
                self.bracket_open = false;
                self.got_colon = false;
                self.state = State::Statements;
            }
            ':' if !self.got_duration => {
                return after(self, "unexpected colon before duration in duration expression");
            }
            ':' if self.got_colon => {
                return after(self, "unexpected repeated colon in duration expression");
            }
            ':' => {
                self.got_colon = true;
                self.emit(Kind::Colon);
            }
            '(' | ')' => self.parenthesis(c)?,
            '+' | '-' | '*' | '/' | '%' | '^' => self.arithmetic(c),
            ',' => self.emit(Kind::Comma),
            c if c.is_ascii_digit() || (c == '.' && digit_follows) => {
                self.got_duration = true;
                self.state = State::Statements;
                self.number()?;
            }
            c if is_alpha(c) && self.duration_keyword() => {}
            c => {
                let shown = quote_char(c);
                return fail(format!("unexpected character in duration expression: {shown}"));
            }
        }
        Ok(())
    }

    /// A number or duration, of which the first character was taken.
    fn number(&mut self) -> Result<(), Failure> {
        let (kind, len) = number::scan(&self.query[self.start..]);
        self.pos = self.start + len;
        let Some(kind) = kind else {
            let text = quote(&self.query[self.start..self.pos]);
            return fail(format!("bad number or duration syntax: {text}"));
        };
        self.emit(kind);
        Ok(())
    }
}

/// A character that may be missing.
fn shown(c: Option<char>) -> String {
    // What Go prints for the end of the input, which it keeps as character -1.
    c.map_or_else(|| "'\u{fffd}'".to_owned(), quote_char)
}
