//! Prints a tree as query text that parses to the same tree.

use std::fmt::{self, Display, Formatter, Write};

use skald_model::Matcher;

use super::{
    Arg, At, Binary, Call, Cardinality, Conversion, Expr, Extraction, FormatValue, Grouping,
    LabelFilter, LineFilter, LineOperand, LogExpr, LogRange, Matching, MetricExpr, NameMatch,
    RangeAgg, Stage, Subquery, Unwrap, VectorAgg, VectorParam,
};
use crate::units::{format_bytes, format_duration};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(log) => log.fmt(f),
            Self::Metric(metric) => metric.fmt(f),
        }
    }
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        comma(f, &self.matchers, ", ", matcher)?;
        f.write_str("}")?;
        self.stages.iter().try_for_each(|stage| write!(f, " {stage}"))
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineFilter(filter) => filter.fmt(f),
            Self::Json(extractions) => {
                f.write_str("| json")?;
                extraction_list(f, extractions)
            }
            Self::Logfmt { strict, keep_empty, extractions } => {
                f.write_str("| logfmt")?;
                f.write_str(if *strict { " --strict" } else { "" })?;
                f.write_str(if *keep_empty { " --keep-empty" } else { "" })?;
                extraction_list(f, extractions)
            }
            Self::Regexp(re) => write!(f, "| regexp {}", Quoted(re)),
            Self::Pattern(pattern) => write!(f, "| pattern {}", Quoted(pattern)),
            Self::Unpack => f.write_str("| unpack"),
            Self::LabelFilter(filter) => write!(f, "| {filter}"),
            Self::LineFormat(template) => write!(f, "| line_format {}", Quoted(template)),
            Self::LabelFormat(formats) => {
                f.write_str("| label_format ")?;
                comma(f, formats, ",", |format, f| match &format.value {
                    FormatValue::Rename(src) => write!(f, "{}={src}", format.name),
                    FormatValue::Template(text) => write!(f, "{}={}", format.name, Quoted(text)),
                })
            }
            Self::Drop(names) => {
                f.write_str("| drop ")?;
                comma(f, names, ",", name_match)
            }
            Self::Keep(names) => {
                f.write_str("| keep ")?;
                comma(f, names, ",", name_match)
            }
            Self::Decolorize => f.write_str("| decolorize"),
            Self::Distinct(labels) => write!(f, "| distinct {}", labels.join(",")),
        }
    }
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.op.as_str())?;
        comma(f, &self.operands, " or ", |operand, f| match operand {
            LineOperand::Text(text) => Quoted(text).fmt(f),
            LineOperand::Ip(text) => write!(f, "ip({})", Quoted(text)),
        })
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) => bracketed(f, parts, " and "),
            Self::Or(parts) => bracketed(f, parts, " or "),
            Self::String(m) => matcher(m, f),
            Self::Number { name, op, value } => {
                write!(f, "{name}{}{}", op.as_str(), number(*value))
            }
            Self::Duration { name, op, value } => {
                write!(f, "{name}{}{}", op.as_str(), format_duration(*value))
            }
            Self::Bytes { name, op, value } => {
                write!(f, "{name}{}{}", op.as_str(), format_bytes(*value))
            }
            Self::Ip { name, negated, pattern } => {
                let op = if *negated { "!=" } else { "=" };
                write!(f, "{name}{op}ip({})", Quoted(pattern))
            }
        }
    }
}

impl Display for MetricExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(agg) => agg.fmt(f),
            Self::Vector(agg) => agg.fmt(f),
            Self::Binary(binary) => binary.fmt(f),
            Self::Literal(value) => f.write_str(&number(*value)),
            Self::Constant(value) => write!(f, "vector({})", constant(*value)),
            Self::LabelReplace(call) => write!(
                f,
                "label_replace({},{},{},{},{})",
                call.inner,
                Quoted(&call.dst),
                Quoted(&call.replacement),
                Quoted(&call.src),
                Quoted(&call.regex)
            ),
            Self::Call(call) => call.fmt(f),
            Self::Negate(inner) => write!(f, "(-{inner})"),
            Self::Subquery(sub) => sub.fmt(f),
        }
    }
}

impl Display for RangeAgg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op.as_str())?;
        if let Some(param) = self.param {
            write!(f, "{},", number(param))?;
        }
        write!(f, "{})", self.range)?;
        self.grouping.iter().try_for_each(|grouping| write!(f, " {grouping}"))
    }
}

impl Display for LogRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.log.fmt(f)?;
        self.unwrap.iter().try_for_each(|unwrap| write!(f, " {unwrap}"))?;
        write!(f, "[{}]", format_duration(self.interval_ns))?;
        shift(f, self.at, self.offset_ns)
    }
}

/// `@` and `offset`, as far as they are there.
fn shift(f: &mut Formatter<'_>, at: Option<At>, offset_ns: i64) -> fmt::Result {
    match at {
        None => {}
        Some(At::Start) => f.write_str(" @ start()")?,
        Some(At::End) => f.write_str(" @ end()")?,
        Some(At::Time(ns)) => {
            let (seconds, rest) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
            write!(f, " @ {seconds}.{rest:09}")?;
        }
    }
    if offset_ns != 0 {
        write!(f, " offset {}", format_duration(offset_ns))?;
    }
    Ok(())
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name)?;
        comma(f, &self.args, ",", |arg, f| match arg {
            Arg::Metric(expr) => expr.fmt(f),
            Arg::Text(text) => Quoted(text).fmt(f),
        })?;
        f.write_str(")")
    }
}

impl Display for Subquery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op.as_str())?;
        if let Some(param) = self.param {
            write!(f, "{},", number(param))?;
        }
        let step = self.step_ns.map_or_else(String::new, format_duration);
        write!(f, "{}[{}:{step}]", self.inner, format_duration(self.interval_ns))?;
        shift(f, self.at, self.offset_ns)?;
        f.write_str(")")
    }
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let conversion = match self.conversion {
            Conversion::None => None,
            Conversion::Bytes => Some("bytes"),
            Conversion::Duration => Some("duration"),
            Conversion::DurationSeconds => Some("duration_seconds"),
        };
        match conversion {
            Some(name) => write!(f, "| unwrap {name}({})", self.label)?,
            None => write!(f, "| unwrap {}", self.label)?,
        }
        self.filters.iter().try_for_each(|filter| write!(f, " | {filter}"))
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.without { "without (" } else { "by (" })?;
        f.write_str(&self.labels.join(","))?;
        f.write_str(")")
    }
}

impl Display for VectorAgg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.as_str())?;
        if let Some(grouping) = &self.grouping {
            write!(f, " {grouping}")?;
        }
        f.write_str("(")?;
        match &self.param {
            None => {}
            Some(VectorParam::K(k)) => write!(f, "{k},")?,
            Some(VectorParam::Number(value)) => write!(f, "{},", number(*value))?,
            Some(VectorParam::Label(label)) => write!(f, "{},", Quoted(label))?,
        }
        write!(f, "{})", self.inner)
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "({} {}", self.left, self.op.as_str())?;
        f.write_str(if self.return_bool { " bool" } else { "" })?;
        if let Some(matching) = &self.matching {
            write!(f, " {matching}")?;
        }
        write!(f, " {})", self.right)
    }
}

impl Display for Matching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = if self.on { "on" } else { "ignoring" };
        write!(f, "{word} ({})", self.labels.join(","))?;
        let word = match self.cardinality {
            Cardinality::OneToOne => return Ok(()),
            Cardinality::ManyToOne => "group_left",
            Cardinality::OneToMany => "group_right",
        };
        write!(f, " {word} ({})", self.include.join(","))
    }
}

/// A string literal as Go quotes it.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if (c as u32) < 0x20 || c as u32 == 0x7f => write!(f, "\\x{:02x}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

fn matcher(m: &Matcher, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{}{}{}", m.name, m.op.as_str(), Quoted(&m.value))
}

fn name_match(name: &NameMatch, f: &mut Formatter<'_>) -> fmt::Result {
    match name {
        NameMatch::Name(name) => f.write_str(name),
        NameMatch::Matcher(m) => matcher(m, f),
    }
}

fn extraction_list(f: &mut Formatter<'_>, extractions: &[Extraction]) -> fmt::Result {
    f.write_str(if extractions.is_empty() { "" } else { " " })?;
    comma(f, extractions, ",", |e, f| write!(f, "{}={}", e.name, Quoted(&e.expression)))
}

fn bracketed(f: &mut Formatter<'_>, parts: &[LabelFilter], separator: &str) -> fmt::Result {
    f.write_str("(")?;
    comma(f, parts, separator, |part, f| part.fmt(f))?;
    f.write_str(")")
}

fn comma<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    separator: &str,
    mut print: impl FnMut(&T, &mut Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        f.write_str(if i == 0 { "" } else { separator })?;
        print(item, f)?;
    }
    Ok(())
}

/// The shortest decimal that reads back as the same number.
fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "1e308*10".into() } else { "-1e308*10".into() };
    }
    if value.is_nan() {
        return "0/0".into();
    }
    value.to_string()
}

/// Six decimals where they say all, as the peers print it.
fn constant(value: f64) -> String {
    let fixed = format!("{value:.6}");
    let exact = fixed.parse::<f64>().is_ok_and(|v| v.to_bits() == value.to_bits());
    if exact { fixed } else { number(value) }
}
