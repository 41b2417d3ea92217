//! Pipeline stages. Each is compiled once here, so that a bad pattern is a parse error with a place.

use super::{Parser, Result, is_reserved};
use crate::ast::{
    Extraction, FormatValue, LabelFormat, LineFilter, LineOp, LineOperand, MAX_STAGES, NameMatch,
    Stage,
};
use crate::lexer::Tok;
use crate::pipeline::compile_stage;

impl Parser<'_> {
    /// Stages up to what is no stage, `| unwrap` included.
    pub(super) fn stages(&mut self) -> Result<Vec<Stage>> {
        let mut stages = Vec::new();
        loop {
            let span = self.span();
            if let Some(Stage::Distinct(_)) = stages.last() {
                let more = self.line_op().is_some() || self.is_op("|");
                let what = "distinct must be the last stage";
                return if more { Err(self.error_here(what)) } else { Ok(stages) };
            }
            let stage = if let Some(op) = self.line_op() {
                self.advance();
                Stage::LineFilter(self.line_filter(op)?)
            } else if self.is_op("|") && !self.is_word_at(1, "unwrap") {
                self.advance();
                self.stage()?
            } else {
                return Ok(stages);
            };
            compile_stage(&stage).map_err(|what| self.error_at(span, what))?;
            stages.push(stage);
            self.n_stages += 1;
            if self.n_stages > MAX_STAGES {
                return Err(self.error_here(format!("query has more than {MAX_STAGES} stages")));
            }
        }
    }

    fn line_op(&self) -> Option<LineOp> {
        match self.peek() {
            Tok::Op("|=") => Some(LineOp::Contains),
            Tok::Op("!=") => Some(LineOp::NotContains),
            Tok::Op("|~") => Some(LineOp::Regex),
            Tok::Op("!~") => Some(LineOp::NotRegex),
            Tok::Op("|>") => Some(LineOp::Pattern),
            Tok::Op("!>") => Some(LineOp::NotPattern),
            _ => None,
        }
        // A comparison of a metric expression with a number is no line filter.
        .filter(|_| matches!(self.token(1).tok, Tok::Str(_)) || self.is_word_at(1, "ip") || !self.is_op("!="))
    }

    fn line_filter(&mut self, op: LineOp) -> Result<LineFilter> {
        let mut operands = vec![self.line_operand(op)?];
        while self.take_word("or") {
            operands.push(self.line_operand(op)?);
        }
        Ok(LineFilter { op, operands })
    }

    fn line_operand(&mut self, op: LineOp) -> Result<LineOperand> {
        if !self.is_word("ip") {
            return Ok(LineOperand::Text(self.string()?));
        }
        if !matches!(op, LineOp::Contains | LineOp::NotContains) {
            return Err(self.error_here("ip: invalid operation"));
        }
        Ok(LineOperand::Ip(self.ip_call()?))
    }

    fn stage(&mut self) -> Result<Stage> {
        let word = match self.peek() {
            Tok::Ident(word) if is_reserved(word) => word.to_ascii_lowercase(),
            Tok::Ident(word)
                if word.eq_ignore_ascii_case("distinct")
                    && matches!(self.token(1).tok, Tok::Ident(_)) =>
            {
                self.advance();
                return Ok(Stage::Distinct(self.list(Self::name)?));
            }
            Tok::Ident(_) | Tok::Op("(") => return Ok(Stage::LabelFilter(self.label_filter()?)),
            _ => return Err(self.unexpected("a pipeline stage")),
        };
        let at = self.span();
        self.advance();
        match word.as_str() {
            "json" => Ok(Stage::Json(self.extractions()?)),
            "logfmt" => self.logfmt(),
            "regexp" => Ok(Stage::Regexp(self.string()?)),
            "pattern" => Ok(Stage::Pattern(self.string()?)),
            "unpack" => Ok(Stage::Unpack),
            "decolorize" => Ok(Stage::Decolorize),
            "line_format" => Ok(Stage::LineFormat(self.string()?)),
            "label_format" => Ok(Stage::LabelFormat(self.label_formats()?)),
            "drop" => Ok(Stage::Drop(self.list(Self::name_match)?)),
            "keep" => Ok(Stage::Keep(self.list(Self::name_match)?)),
            _ => Err(self.error_at(at, format!("syntax error: unexpected {word}"))),
        }
    }

    fn logfmt(&mut self) -> Result<Stage> {
        let (mut strict, mut keep_empty) = (false, false);
        while let Tok::Flag(flag) = self.peek() {
            match flag.as_str() {
                "strict" => strict = true,
                "keep-empty" => keep_empty = true,
                _ => return Err(self.unexpected("--strict or --keep-empty")),
            }
            self.advance();
        }
        Ok(Stage::Logfmt { strict, keep_empty, extractions: self.extractions()? })
    }

    fn extractions(&mut self) -> Result<Vec<Extraction>> {
        if self.is_name() { self.list(Self::extraction) } else { Ok(Vec::new()) }
    }

    fn extraction(&mut self) -> Result<Extraction> {
        let name = self.name()?;
        let expression = if self.take_op("=") { self.string()? } else { name.clone() };
        Ok(Extraction { name, expression })
    }

    fn label_formats(&mut self) -> Result<Vec<LabelFormat>> {
        let span = self.span();
        let formats = self.list(|p| {
            let name = p.name()?;
            p.expect_op("=")?;
            let value = match p.peek() {
                Tok::Str(_) => FormatValue::Template(p.string()?),
                _ => FormatValue::Rename(p.name()?),
            };
            Ok(LabelFormat { name, value })
        })?;
        for (i, format) in formats.iter().enumerate() {
            if format.name == "__error__" {
                return Err(self.error_at(span, "__error__ cannot be formatted"));
            }
            if formats[..i].iter().any(|other| other.name == format.name) {
                let name = &format.name;
                let text = format!(
                    "multiple label name '{name}' not allowed in a single format operation"
                );
                return Err(self.error_at(span, text));
            }
        }
        Ok(formats)
    }

    fn name_match(&mut self) -> Result<NameMatch> {
        let name = self.name()?;
        match self.match_op() {
            Some(op) => {
                self.advance();
                Ok(NameMatch::Matcher(self.matcher_value(&name, op)?))
            }
            None => Ok(NameMatch::Name(name)),
        }
    }
}
