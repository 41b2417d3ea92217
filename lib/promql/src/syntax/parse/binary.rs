//! What stands between an operator and its right side: `bool`, `on`, `group_left`, `fill`.

use skald_vector::BinaryOp;

use super::{Context, Parser, Result};
use crate::syntax::ast::{Card, VectorMatching};
use crate::syntax::token::Kind;
use skald_model::quote::quote;

const PLACE: &str = "grouping opts";

impl Parser<'_> {
    pub(super) fn binary_modifiers(&mut self) -> Result<(bool, VectorMatching)> {
        let mut matching = VectorMatching::default();
        let return_bool = self.eat(Kind::Bool)?.is_some();
        let kind = self.peek()?.kind;
        if matches!(kind, Kind::On | Kind::Ignoring) {
            self.next()?;
            matching.on = kind == Kind::On;
            matching.labels = self.grouping()?.0;
            let card = match self.peek()?.kind {
                Kind::GroupLeft => Some(Card::ManyToOne),
                Kind::GroupRight => Some(Card::OneToMany),
                _ => None,
            };
            if let Some(card) = card {
                self.next()?;
                matching.card = card;
                let next = self.peek()?.kind;
                let fills = matches!(next, Kind::Fill | Kind::FillLeft | Kind::FillRight);
                if next == Kind::LeftParen || !(fills || next.starts_expression()) {
                    matching.include = self.grouping()?.0;
                }
            }
        }
        self.fills(&mut matching)?;
        Ok((return_bool, matching))
    }

    fn fills(&mut self, matching: &mut VectorMatching) -> Result<()> {
        match self.peek()?.kind {
            Kind::Fill => {
                let value = self.fill_value()?;
                matching.fill_left = Some(value);
                matching.fill_right = Some(value);
            }
            Kind::FillLeft => {
                matching.fill_left = Some(self.fill_value()?);
                if self.peek()?.kind == Kind::FillRight {
                    matching.fill_right = Some(self.fill_value()?);
                }
            }
            Kind::FillRight => {
                matching.fill_right = Some(self.fill_value()?);
                if self.peek()?.kind == Kind::FillLeft {
                    matching.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Result<f64> {
        self.next()?;
        self.expect(Kind::LeftParen)?;
        let sign = self.sign()?;
        if !matches!(self.peek()?.kind, Kind::Number | Kind::Duration) {
            return Err(self.unexpected());
        }
        let value = self.number()?.value;
        self.expect(Kind::RightParen)?;
        Ok(if sign == Some(BinaryOp::Sub) { -value } else { value })
    }

    /// Takes a sign.
    pub(super) fn sign(&mut self) -> Result<Option<BinaryOp>> {
        let Kind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.peek()?.kind else {
            return Ok(None);
        };
        self.next()?;
        Ok(Some(op))
    }

    /// `(a, "b", …)`: names of labels, and where they end.
    pub(super) fn grouping(&mut self) -> Result<(Vec<String>, usize)> {
        if self.eat(Kind::LeftParen)?.is_none() {
            return Err(self.unexpected_in(Context { place: PLACE, expected: "\"(\"" }));
        }
        let mut labels = Vec::new();
        loop {
            if let Some(close) = self.eat(Kind::RightParen)? {
                return Ok((labels, close.end));
            }
            labels.push(self.grouping_label()?);
            if self.eat(Kind::Comma)?.is_none() && self.peek()?.kind != Kind::RightParen {
                let expected = "\",\" or \")\"";
                return Err(self.unexpected_in(Context { place: PLACE, expected }));
            }
        }
    }

    fn grouping_label(&mut self) -> Result<String> {
        let token = self.peek()?;
        let label = match token.kind {
            Kind::Text => self.string(token)?,
            kind if kind.is_label() => self.text(token).to_owned(),
            _ => return Err(self.unexpected_in(Context { place: PLACE, expected: "label" })),
        };
        self.next()?;
        if label.is_empty() {
            let text = format!("invalid label name for grouping: {}", quote(&label));
            return Err(self.error(token.start, text));
        }
        Ok(label)
    }
}
