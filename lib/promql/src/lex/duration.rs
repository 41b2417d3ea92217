//! Arithmetic within `[…]` and behind `offset`: evaluated before the query is parsed, because
//! everything in it is known by then.

use super::{Kind, Token};

/// What `step()` and `range()` are, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env {
    pub step: f64,
    pub range: f64,
}

const FUNCTIONS: [&str; 4] = ["step", "range", "min_of", "max_of"];

/// Evaluates all of `tokens`.
pub(super) fn evaluate(tokens: &[Token], env: Env) -> Result<f64, String> {
    let mut at = Cursor { tokens, at: 0, env };
    let value = at.expr(0)?;
    match at.peek() {
        None => Ok(value),
        Some(_) => Err("bad duration expression".to_owned()),
    }
}

/// Evaluates a signed call or parenthesis at the front of `tokens`. Answers how many it took;
/// `None` when there is neither.
pub(super) fn operand(tokens: &[Token], env: Env) -> Option<Result<(f64, usize), String>> {
    let signs = tokens.iter().take_while(|t| matches!(t.kind, Kind::Punct("+" | "-"))).count();
    match &tokens.get(signs)?.kind {
        Kind::Punct("(") => {}
        Kind::Word(name) if FUNCTIONS.contains(&name.to_ascii_lowercase().as_str()) => {}
        _ => return None,
    }
    let minus = |t: &&Token| matches!(t.kind, Kind::Punct("-"));
    let negative = tokens[..signs].iter().filter(minus).count() % 2 == 1;
    let mut at = Cursor { tokens, at: signs, env };
    Some(at.primary().map(|v| (if negative { -v } else { v }, at.at)))
}

struct Cursor<'a> {
    tokens: &'a [Token],
    at: usize,
    env: Env,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<&'a Kind> {
        self.tokens.get(self.at).map(|t| &t.kind)
    }

    fn next(&mut self) -> Option<&'a Kind> {
        let kind = self.peek();
        self.at += 1;
        kind
    }

    fn punct(&mut self, wanted: &str) -> Result<(), String> {
        match self.next() {
            Some(Kind::Punct(p)) if *p == wanted => Ok(()),
            _ => Err(format!("expected {wanted:?} in duration expression")),
        }
    }

    /// Operators that bind at least as tightly as `least`.
    fn expr(&mut self, least: u8) -> Result<f64, String> {
        let mut left = self.unary()?;
        while let Some(Kind::Punct(op)) = self.peek() {
            let binding = match *op {
                "+" | "-" => 1,
                "*" | "/" | "%" => 2,
                _ => break,
            };
            if binding < least {
                break;
            }
            self.at += 1;
            let right = self.expr(binding + 1)?;
            left = match *op {
                "+" => left + right,
                "-" => left - right,
                "*" => left * right,
                "/" if right.abs() > 0.0 => left / right,
                "%" if right.abs() > 0.0 => left % right,
                "/" => return Err("division by zero".to_owned()),
                _ => return Err("modulo by zero".to_owned()),
            };
        }
        Ok(left)
    }

    /// Signs bind looser than `^`.
    fn unary(&mut self) -> Result<f64, String> {
        let mut sign = 1.0;
        while let Some(Kind::Punct(op @ ("+" | "-"))) = self.peek() {
            self.at += 1;
            if *op == "-" {
                sign = -sign;
            }
        }
        let base = self.primary()?;
        if let Some(Kind::Punct("^")) = self.peek() {
            self.at += 1;
            return Ok(sign * base.powf(self.unary()?));
        }
        Ok(sign * base)
    }

    fn primary(&mut self) -> Result<f64, String> {
        match self.next() {
            Some(Kind::Number(v)) => Ok(*v),
            Some(Kind::Punct("(")) => {
                let v = self.expr(0)?;
                self.punct(")")?;
                Ok(v)
            }
            Some(Kind::Word(name)) => self.call(name),
            _ => Err("bad duration expression".to_owned()),
        }
    }

    fn call(&mut self, name: &str) -> Result<f64, String> {
        let name = name.to_ascii_lowercase();
        if !FUNCTIONS.contains(&name.as_str()) {
            return Err("bad duration expression".to_owned());
        }
        self.punct("(")?;
        let value = match name.as_str() {
            "step" => self.env.step,
            "range" => self.env.range,
            _ => {
                let a = self.expr(0)?;
                self.punct(",")?;
                let b = self.expr(0)?;
                if name == "min_of" { a.min(b) } else { a.max(b) }
            }
        };
        self.punct(")")?;
        Ok(value)
    }
}
