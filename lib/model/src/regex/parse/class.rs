//! `[…]` and backslashes outside of it.

use regex_syntax::hir::{ClassUnicode, Look};

use super::{Flags, Item, MAX_RANGES, Parser, TOO_LARGE};
use crate::regex::RegexError;
use crate::regex::cursor::syntax;
use crate::regex::escape::{self, Named};
use crate::regex::node::{Node, Weight};

impl Parser<'_> {
    pub(super) fn escape(&mut self) -> Result<(), RegexError> {
        let start = self.cursor.at;
        let letter = self.cursor.rest().chars().nth(1);
        let look = match letter {
            Some('A') => Look::Start,
            Some('z') => Look::End,
            Some('b') => Look::WordAscii,
            Some('B') => Look::WordAsciiNegate,
            Some('C') => {
                self.cursor.at += 2;
                return Err(self.cursor.error("invalid escape sequence", start));
            }
            Some('Q') => return self.quoted(),
            _ => return self.class_escape(letter),
        };
        self.cursor.at += 2;
        self.push(Node::Look(look))
    }

    fn class_escape(&mut self, letter: Option<char>) -> Result<(), RegexError> {
        if let Some(named) = escape::unicode(&mut self.cursor)? {
            let class = self.resolve(named);
            return self.push_class(class);
        }
        if let Some(named) = letter.and_then(escape::perl) {
            self.cursor.at += 2;
            let class = self.resolve(named);
            return self.push_class(class);
        }
        let code = escape::character(&mut self.cursor)?;
        match char::from_u32(code) {
            Some(c) => self.literal(c),
            // A surrogate, which occurs in no text.
            None => self.push_class(ClassUnicode::empty()),
        }
    }

    /// `\Q…\E`; without an end all that follows.
    fn quoted(&mut self) -> Result<(), RegexError> {
        self.cursor.at += 2;
        while !self.cursor.rest().starts_with(r"\E") {
            let Some(c) = self.cursor.next() else { return Ok(()) };
            self.literal(c)?;
        }
        self.cursor.at += 2;
        Ok(())
    }

    pub(super) fn class(&mut self) -> Result<(), RegexError> {
        let start = self.cursor.at;
        self.cursor.next();
        let negated = self.cursor.eat('^');
        let mut ranges = Vec::new();
        let mut first = true;
        // A `]` that comes first is a literal.
        while first || !self.cursor.eat(']') {
            first = false;
            if self.ranges + ranges.len() > MAX_RANGES {
                return Err(syntax(TOO_LARGE, self.cursor.text));
            }
            match self.named_class()? {
                Some(class) => ranges.extend_from_slice(class.ranges()),
                None => ranges.extend_from_slice(self.range(start)?.ranges()),
            }
        }
        let mut class = ClassUnicode::new(ranges);
        self.fold(&mut class);
        if negated {
            class.negate();
        }
        self.push_class(class)
    }

    fn named_class(&mut self) -> Result<Option<ClassUnicode>, RegexError> {
        let mut named = escape::posix(&mut self.cursor, &mut self.posix)?;
        if named.is_none() {
            named = escape::unicode(&mut self.cursor)?;
        }
        if named.is_none()
            && let Some(rest) = self.cursor.rest().strip_prefix('\\')
        {
            named = rest.chars().next().and_then(escape::perl);
            self.cursor.at += if named.is_some() { 2 } else { 0 };
        }
        Ok(named.map(|named| self.resolve(named)))
    }

    fn resolve(&self, Named { mut class, negated }: Named) -> ClassUnicode {
        self.fold(&mut class);
        if negated {
            class.negate();
        }
        class
    }

    /// A character, or two with a dash between.
    fn range(&mut self, class: usize) -> Result<ClassUnicode, RegexError> {
        let start = self.cursor.at;
        let first = self.class_character(class)?;
        let mut last = first;
        let mut ahead = self.cursor.rest().chars();
        if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
            self.cursor.next();
            last = self.class_character(class)?;
        }
        if last < first {
            return Err(self.cursor.error("invalid character class range", start));
        }
        Ok(escape::class(&[(first, last)]))
    }

    fn class_character(&mut self, class: usize) -> Result<u32, RegexError> {
        match self.cursor.peek() {
            None => Err(self.cursor.error_to_end("missing closing ]", class)),
            Some('\\') => escape::character(&mut self.cursor),
            Some(c) => {
                self.cursor.next();
                Ok(c.into())
            }
        }
    }

    fn push_class(&mut self, class: ClassUnicode) -> Result<(), RegexError> {
        self.ranges += class.ranges().len();
        if self.ranges > MAX_RANGES {
            return Err(syntax(TOO_LARGE, self.cursor.text));
        }
        // Beyond ASCII a range takes several instructions, one of all the rest about eight.
        let wide = class.ranges().last().is_some_and(|range| !range.end().is_ascii());
        let size = class.ranges().len().max(1) as u64 + if wide { 7 } else { 0 };
        let weight = Weight { size, ..Weight::ONE };
        self.push_item(Item { node: Node::Class(class), weight })
    }

    /// Adds what differs in case only, where case does not count.
    fn fold(&self, class: &mut ClassUnicode) {
        if self.flags.has(Flags::FOLD) {
            // Fails only without the tables, which are built in.
            let _ = class.try_case_fold_simple();
        }
    }
}
