//! Go's grammar of regular expressions, with Go's errors. In one loop over the text; open groups
//! stand on a stack, so that nothing recurses.

mod class;

use regex_syntax::hir::Look;

use super::RegexError;
use super::cursor::{Cursor, syntax};
use super::node::{Node, Weight};

/// The most copies that repetitions may make, one within the other.
const MAX_COPIES: u32 = 1_000;
/// Deepest tree. Go allows 1,000; the compiler of programs recurses.
const MAX_HEIGHT: u32 = 300;
/// Most nodes of a tree. Bounds its memory.
const MAX_NODES: usize = 400_000;
/// Most ranges in all classes.
const MAX_RANGES: usize = 300_000;

const NO_OPERAND: &str = "missing argument to repetition operator";
const BAD_COUNT: &str = "invalid repeat count";
const BAD_NAME: &str = "invalid named capture";
const TOO_LARGE: &str = "expression too large";

/// Whether `.` means newlines too, to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dot {
    Everything,
    NotNewline,
}

pub(super) fn parse(pattern: &str, dot: Dot) -> Result<(Node, Weight), RegexError> {
    let flags = if dot == Dot::Everything { Flags::DOT_ALL } else { Flags(0) };
    let cursor = Cursor { text: pattern, at: 0 };
    let open = Frame::new(flags, None);
    Parser { cursor, flags, open, outer: Vec::new(), nodes: 0, ranges: 0, posix: true }.parse()
}

#[derive(Clone, Copy, Debug)]
struct Flags(u8);

#[derive(Debug)]
struct Item {
    node: Node,
    weight: Weight,
}

/// An open group, or the whole.
#[derive(Debug)]
struct Frame {
    /// What the end of the group restores.
    flags: Flags,
    /// `Some` if it captures, with its name.
    capture: Option<Option<String>>,
    branches: Vec<Item>,
    items: Vec<Item>,
    /// The last item is text of characters that stand on their own.
    loose: bool,
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    flags: Flags,
    open: Frame,
    outer: Vec<Frame>,
    nodes: usize,
    ranges: usize,
    /// Whether a `:]` may still follow. Searched for in vain once, never again.
    posix: bool,
}

// === impl Flags ===

impl Flags {
    const FOLD: Self = Self(1);
    const MULTI_LINE: Self = Self(2);
    const DOT_ALL: Self = Self(4);
    const LAZY: Self = Self(8);

    fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }
}

// === impl Frame ===

impl Frame {
    fn new(flags: Flags, capture: Option<Option<String>>) -> Self {
        Self { flags, capture, branches: Vec::new(), items: Vec::new(), loose: false }
    }

    /// Ends a branch.
    fn branch(&mut self) {
        let items = std::mem::take(&mut self.items);
        self.branches.push(join(items, Node::concat));
        self.loose = false;
    }
}

fn join(mut items: Vec<Item>, make: fn(Vec<Node>) -> Node) -> Item {
    match (items.len(), items.pop()) {
        (_, None) => Item { node: Node::Empty, weight: Weight::ONE },
        (1, Some(one)) => one,
        (_, Some(last)) => {
            items.push(last);
            let weight = Weight::of_all(items.iter().map(|item| item.weight));
            Item { node: make(items.into_iter().map(|item| item.node).collect()), weight }
        }
    }
}

// === impl Parser ===

impl Parser<'_> {
    fn parse(mut self) -> Result<(Node, Weight), RegexError> {
        // Where the repetition right before the cursor starts.
        let mut repeated = None;
        while let Some(c) = self.cursor.peek() {
            let start = self.cursor.at;
            let counted = match c {
                '*' => Some((0, None)),
                '+' => Some((1, None)),
                '?' => Some((0, Some(1))),
                '{' => self.count()?,
                _ => None,
            };
            repeated = match counted {
                Some(counts) => {
                    self.cursor.at += usize::from(c != '{');
                    self.repeat(start, repeated, counts)?;
                    Some(start)
                }
                None => {
                    self.plain(c)?;
                    None
                }
            };
        }
        if !self.outer.is_empty() {
            return Err(syntax("missing closing )", self.cursor.text));
        }
        self.open.branch();
        let Item { node, weight } = join(self.open.branches, Node::alternate);
        Ok((node, weight))
    }

    /// Anything but a repetition.
    fn plain(&mut self, c: char) -> Result<(), RegexError> {
        match c {
            '(' if self.cursor.rest().starts_with("(?") => return self.special_group(),
            '\\' => return self.escape(),
            '[' => return self.class(),
            _ => self.cursor.next(),
        };
        match c {
            '(' => self.group(Some(None)),
            '|' => self.open.branch(),
            ')' => return self.close(),
            '^' if self.flags.has(Flags::MULTI_LINE) => {
                return self.push(Node::Look(Look::StartLF));
            }
            '^' => return self.push(Node::Look(Look::Start)),
            '$' if self.flags.has(Flags::MULTI_LINE) => return self.push(Node::Look(Look::EndLF)),
            '$' => return self.push(Node::Look(Look::End)),
            '.' if self.flags.has(Flags::DOT_ALL) => return self.push(Node::Any),
            '.' => return self.push(Node::NotNewline),
            c => return self.literal(c),
        }
        Ok(())
    }

    fn push(&mut self, node: Node) -> Result<(), RegexError> {
        // That many ways there are to write characters in bytes.
        let size = if matches!(node, Node::Any | Node::NotNewline) { 8 } else { 1 };
        self.push_item(Item { node, weight: Weight { size, ..Weight::ONE } })
    }

    fn push_item(&mut self, item: Item) -> Result<(), RegexError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(syntax(TOO_LARGE, self.cursor.text));
        }
        self.check(item.weight)?;
        self.open.items.push(item);
        self.open.loose = false;
        Ok(())
    }

    fn check(&self, weight: Weight) -> Result<(), RegexError> {
        if weight.height > MAX_HEIGHT {
            return Err(syntax("expression nests too deeply", self.cursor.text));
        }
        Ok(())
    }

    fn literal(&mut self, c: char) -> Result<(), RegexError> {
        let now = self.flags.has(Flags::FOLD);
        if self.open.loose
            && let Some(Item { node: Node::Text { text, fold }, weight }) =
                self.open.items.last_mut()
            && *fold == now
        {
            text.push(c);
            weight.size += 1;
            return Ok(());
        }
        self.push(Node::Text { text: c.into(), fold: now })?;
        self.open.loose = true;
        Ok(())
    }

    // Groups.

    fn group(&mut self, capture: Option<Option<String>>) {
        let frame = Frame::new(self.flags, capture);
        self.outer.push(std::mem::replace(&mut self.open, frame));
    }

    fn close(&mut self) -> Result<(), RegexError> {
        let Some(outer) = self.outer.pop() else {
            return Err(syntax("unexpected )", self.cursor.text));
        };
        let mut group = std::mem::replace(&mut self.open, outer);
        group.branch();
        self.flags = group.flags;
        let mut item = join(group.branches, Node::alternate);
        if let Some(name) = group.capture {
            item.node = Node::Group { name, inner: Box::new(item.node) };
            item.weight = item.weight.wrapped(2);
        }
        self.push_item(item)
    }

    /// `(?` and what it begins: a name, flags for a group, or flags for what follows.
    fn special_group(&mut self) -> Result<(), RegexError> {
        let start = self.cursor.at;
        let rest = self.cursor.rest();
        // Go looks for a name only where there is room for one.
        let named = (rest.starts_with("(?P<") && rest.len() > 4)
            || (rest.starts_with("(?<") && rest.len() > 3);
        if named {
            return self.named_group();
        }
        self.cursor.at += 2;
        let (mut flags, mut negative, mut seen) = (self.flags, false, false);
        while let Some(c) = self.cursor.next() {
            let flag = match c {
                'i' => Flags::FOLD,
                'm' => Flags::MULTI_LINE,
                's' => Flags::DOT_ALL,
                'U' => Flags::LAZY,
                '-' if !negative => {
                    (negative, seen) = (true, false);
                    continue;
                }
                ':' | ')' if !negative || seen => {
                    if c == ':' {
                        self.group(None);
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            };
            seen = true;
            flags = Flags(if negative { flags.0 & !flag.0 } else { flags.0 | flag.0 });
        }
        Err(self.cursor.error("invalid or unsupported Perl syntax", start))
    }

    fn named_group(&mut self) -> Result<(), RegexError> {
        let start = self.cursor.at;
        let Some((head, _)) = self.cursor.rest().split_once('>') else {
            return Err(self.cursor.error_to_end(BAD_NAME, start));
        };
        self.cursor.at += head.len() + 1;
        let name = head.split_once('<').map_or("", |(_, name)| name);
        let plain = |c: u8| c == b'_' || c.is_ascii_alphanumeric();
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(self.cursor.error(BAD_NAME, start));
        }
        self.group(Some(Some(name.to_owned())));
        Ok(())
    }

    // Repetitions.

    /// `{n}`, `{n,}` or `{n,m}`, if that is what follows; any other brace is a literal.
    fn count(&mut self) -> Result<Option<(u32, Option<u32>)>, RegexError> {
        let start = self.cursor.at;
        let rest = self.cursor.rest().get(1..).unwrap_or("");
        let len = rest.bytes().take_while(|c| c.is_ascii_digit() || *c == b',').count();
        let Some((body, "}")) = rest.get(..len).zip(rest.get(len..=len)) else {
            return Ok(None);
        };
        let (least, most) = match body.split_once(',') {
            None => (number(body), number(body).map(Some)),
            Some((least, "")) => (number(least), Some(None)),
            Some((least, most)) => (number(least), number(most).map(Some)),
        };
        let (Some(least), Some(most)) = (least, most) else { return Ok(None) };
        self.cursor.at += body.len() + 2;
        if least > MAX_COPIES || most.is_some_and(|most| most > MAX_COPIES || most < least) {
            return Err(self.cursor.error(BAD_COUNT, start));
        }
        Ok(Some((least, most)))
    }

    /// Repeats the last item. The operator starts at `start`, the one before it, if it stands right
    /// before it, at `before`.
    fn repeat(
        &mut self,
        start: usize,
        before: Option<usize>,
        (least, most): (u32, Option<u32>),
    ) -> Result<(), RegexError> {
        let lazy = self.cursor.eat('?') != self.flags.has(Flags::LAZY);
        if let Some(before) = before {
            return Err(self.cursor.error("invalid nested repetition operator", before));
        }
        let Some(item) = self.operand() else {
            return Err(self.cursor.error(NO_OPERAND, start));
        };
        let weight = item.weight.repeated(least, most);
        if weight.copies > MAX_COPIES && (least >= 2 || most.is_some_and(|most| most >= 2)) {
            return Err(self.cursor.error(BAD_COUNT, start));
        }
        let inner = Box::new(item.node);
        self.push_item(Item { node: Node::Repeat { inner, least, most, greedy: !lazy }, weight })
    }

    /// Takes the last item, of loose text the last character.
    fn operand(&mut self) -> Option<Item> {
        if self.open.loose
            && let Some(Item { node: Node::Text { text, fold }, weight }) =
                self.open.items.last_mut()
            && text.chars().nth(1).is_some()
            && let Some(last) = text.pop()
        {
            weight.size -= 1;
            let node = Node::Text { text: last.into(), fold: *fold };
            return Some(Item { node, weight: Weight::ONE });
        }
        self.open.items.pop()
    }
}

/// A count as Go reads it: no leading zero; too big a number is one that is refused later.
fn number(digits: &str) -> Option<u32> {
    let plain = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    let padded = digits.len() > 1 && digits.starts_with('0');
    (plain && !padded).then(|| digits.parse().unwrap_or(u32::MAX))
}
