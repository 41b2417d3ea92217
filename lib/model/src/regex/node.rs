//! What a pattern says: the tree that the parser builds, and what counts against Go's limits.

use regex_syntax::hir::{ClassUnicode, Look};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Empty,
    Text {
        text: String,
        fold: bool,
    },
    Class(ClassUnicode),
    /// Any character, newlines too.
    Any,
    NotNewline,
    Look(Look),
    Group {
        name: Option<String>,
        inner: Box<Node>,
    },
    Repeat {
        inner: Box<Node>,
        least: u32,
        most: Option<u32>,
        greedy: bool,
    },
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
}

/// What a tree weighs. Saturates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weight {
    pub height: u32,
    /// The most copies that counted repetitions make of anything within.
    pub copies: u32,
    /// Instructions of the compiled program, about.
    pub size: u64,
}

// === impl Weight ===

impl Weight {
    pub(super) const ONE: Self = Self { height: 1, copies: 1, size: 1 };

    /// That of something around this.
    pub(super) fn wrapped(self, more: u64) -> Self {
        Self { height: self.height + 1, size: self.size.saturating_add(more), ..self }
    }

    pub(super) fn of_all(parts: impl Iterator<Item = Self>) -> Self {
        let all = parts.fold(Self { height: 0, copies: 1, size: 0 }, |all, part| Self {
            height: all.height.max(part.height),
            copies: all.copies.max(part.copies),
            size: all.size.saturating_add(part.size),
        });
        all.wrapped(0)
    }

    pub(super) fn repeated(self, least: u32, most: Option<u32>) -> Self {
        let copies = most.unwrap_or(least);
        let size = self.size.saturating_add(1).saturating_mul(u64::from(copies.max(1)));
        let copies = match (copies, most) {
            (0, Some(_)) => 1,
            (n, _) => self.copies.saturating_mul(n.max(1)),
        };
        Self { height: self.height + 1, copies, size }
    }
}

// === impl Node ===

impl Node {
    /// The parts one after the other, texts joined.
    pub(super) fn concat(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut out: Vec<Self> = Vec::new();
        for part in parts {
            match (out.last_mut(), part) {
                (_, Self::Empty) => {}
                (_, Self::Concat(inner)) => out.extend(inner),
                (Some(Self::Text { text, fold }), Self::Text { text: more, fold: also })
                    if *fold == also =>
                {
                    text.push_str(&more);
                }
                (_, part) => out.push(part),
            }
        }
        match out.len() {
            0 => Self::Empty,
            1 => out.remove(0),
            _ => Self::Concat(out),
        }
    }

    pub(super) fn alternate(branches: impl IntoIterator<Item = Self>) -> Self {
        let mut out: Vec<Self> = Vec::new();
        for branch in branches {
            match branch {
                Self::Alternate(inner) => out.extend(inner),
                branch => out.push(branch),
            }
        }
        if out.len() == 1 { out.remove(0) } else { Self::Alternate(out) }
    }

    /// Without the parentheses that capture.
    pub(super) fn ungrouped(&self) -> &Self {
        let mut node = self;
        while let Self::Group { inner, .. } = node {
            node = inner;
        }
        node
    }

    /// Names of captures, in the order of the text.
    pub(super) fn each_name(&self, found: &mut impl FnMut(&str)) {
        match self {
            Self::Group { name, inner } => {
                name.iter().for_each(|name| found(name));
                inner.each_name(found);
            }
            Self::Repeat { inner, .. } => inner.each_name(found),
            Self::Concat(parts) | Self::Alternate(parts) => {
                parts.iter().for_each(|part| part.each_name(found));
            }
            _ => {}
        }
    }

    /// `.*` that matches newlines.
    pub(super) fn is_anything(&self) -> bool {
        matches!(self.ungrouped(), Self::Repeat { inner, least: 0, most: None, .. }
            if matches!(inner.ungrouped(), Self::Any))
    }

    /// `.+` that matches newlines.
    pub(super) fn is_something(&self) -> bool {
        matches!(self.ungrouped(), Self::Repeat { inner, least: 1, most: None, .. }
            if matches!(inner.ungrouped(), Self::Any))
    }
}
