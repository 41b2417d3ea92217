//! Binary operators and vector matching.

use super::{Generator, LABELS};

impl Generator {
    pub(super) fn binary(&mut self, depth: u32) -> String {
        match self.rng.below(100) {
            0..40 => self.with_scalar(depth),
            40..60 => self.set_operator(depth),
            60..68 => self.trim(depth),
            _ => self.matched(depth),
        }
    }

    /// With a scalar on either side.
    fn with_scalar(&mut self, depth: u32) -> String {
        let op = self.operator();
        let (vector, scalar) = (self.operand(depth), self.scalar(depth.min(1)));
        match self.rng.chance(60) {
            true => format!("{vector} {op} {scalar}"),
            false => format!("{scalar} {op} {vector}"),
        }
    }

    fn trim(&mut self, depth: u32) -> String {
        let op = self.rng.pick(&["</", ">/"]);
        let vector = match self.rng.chance(60) {
            true => "native".to_owned(),
            false => self.operand(depth),
        };
        let bound = self.rng.pick(&["0.1", "1", "0", "-0.5", "3", "Inf", "-Inf"]);
        format!("{vector} {op} {bound}")
    }

    fn set_operator(&mut self, depth: u32) -> String {
        let op = self.rng.pick(&["and", "or", "unless"]);
        let matching = self.matching();
        format!("{} {op}{matching} {}", self.side(depth), self.side(depth))
    }

    fn matched(&mut self, depth: u32) -> String {
        let op = self.operator();
        let mut matching = self.matching();
        if !matching.is_empty() && self.rng.chance(40) {
            let side = self.rng.pick(&["group_left", "group_right"]);
            // A label cannot be matched on and copied.
            let label = self.rng.pick(&LABELS);
            let copied = self.rng.chance(50) && !matching.contains(label);
            matching += &format!(" {side}({})", if copied { label } else { "" });
        }
        if self.rng.chance(15) {
            let fill = self.rng.pick(&["fill", "fill_left", "fill_right"]);
            matching += &format!(" {fill}({})", self.rng.pick(&["0", "1", "NaN", "-5"]));
        }
        let lhs = self.side(depth);
        // The same again matches well.
        let rhs = if self.rng.chance(40) { lhs.clone() } else { self.side(depth) };
        format!("{lhs} {op}{matching} {rhs}")
    }

    /// A vector whatever stands beside it.
    fn side(&mut self, depth: u32) -> String {
        let inner = self.vector(depth);
        if inner.contains(' ') || inner.starts_with('-') { format!("({inner})") } else { inner }
    }

    fn operator(&mut self) -> String {
        let arithmetic = ["+", "-", "*", "/", "%", "^", "atan2"];
        let comparisons = ["==", "!=", "<", ">", "<=", ">="];
        match self.rng.chance(65) {
            true => (self.rng.pick(&arithmetic)).to_owned(),
            false => {
                let bool = if self.rng.chance(40) { " bool" } else { "" };
                format!("{}{bool}", self.rng.pick(&comparisons))
            }
        }
    }

    fn matching(&mut self) -> String {
        match self.rng.below(10) {
            0..4 => String::new(),
            4..8 => format!(" on({})", self.labels()),
            _ => format!(" ignoring({})", self.labels()),
        }
    }
}
