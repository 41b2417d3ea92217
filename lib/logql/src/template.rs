//! Go's text/template, as far as `line_format` and `label_format` need it.
//!
//! Text is cut into actions and parsed once ([`parse`]); for each line it is [`run`](eval) over
//! the labels. Templates of plain text and fields, by far the most, take a path without values.
//! Work per line is bounded: [`MAX_OUTPUT`] bytes and [`MAX_STEPS`] nodes.

mod base64;
mod convert;
mod decimal;
mod eval;
mod funcs;
mod lex;
mod parse;
mod printf;
#[cfg(test)]
mod tests;
mod text_funcs;
mod time;
mod value;

use self::parse::{Expr, Node, Tree};

/// Longest text one template may make, in bytes.
const MAX_OUTPUT: usize = 1 << 20;
/// Most nodes one run may visit.
const MAX_STEPS: usize = 100_000;

/// Where a template finds labels, the line and its time.
pub(crate) trait Scope {
    fn label(&self, name: &str) -> Option<&str>;
    fn labels(&self) -> Vec<(&str, &str)>;
    fn line(&self) -> &[u8];
    fn timestamp_ns(&self) -> i64;
}

/// A parsed template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    tree: Tree,
    simple: bool,
}

// === impl Template ===

impl Template {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let tree = parse::parse(text)?;
        let simple = tree.nodes.iter().all(|node| match node {
            Node::Text(_) => true,
            Node::Print(pipe) => pipe.as_field().is_some(),
            _ => false,
        });
        Ok(Self { tree, simple })
    }

    /// Appends the result to `out`. On error what was appended is to be thrown away.
    pub(crate) fn run(&self, scope: &dyn Scope, out: &mut Vec<u8>) -> Result<(), String> {
        if !self.simple {
            return eval::run(&self.tree, scope, out);
        }
        for node in &self.tree.nodes {
            match node {
                Node::Text(text) => out.extend_from_slice(text.as_bytes()),
                Node::Print(pipe) => {
                    let value = pipe.as_field().and_then(|name| scope.label(name)).unwrap_or("");
                    out.extend_from_slice(value.as_bytes());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// All nodes, also of what is defined within.
    fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.tree.nodes.iter().chain(self.tree.defined.values().flatten())
    }

    /// The labels the template reads. Those reached through a computed name are not among them.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let mut out = Vec::new();
        for node in self.nodes() {
            node.visit(&mut |expr| {
                if let Expr::Field(path) = expr {
                    out.extend(path.first().map(String::as_str));
                }
            });
        }
        out
    }

    /// Whether the template uses all labels at once, as `{{ . }}` does.
    pub(crate) fn uses_all(&self) -> bool {
        let mut all = false;
        for node in self.nodes() {
            node.visit(&mut |expr| {
                all |= matches!(expr, Expr::Dot | Expr::Variable(..))
                    || matches!(expr, Expr::Call(name, _) if *name == "index");
            });
        }
        all
    }
}
