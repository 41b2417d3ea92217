//! Template pieces to a tree.

use std::collections::BTreeMap;

use super::funcs;
use super::lex::{Piece, Token, pieces};

/// Deepest nesting of blocks and parentheses.
const MAX_DEPTH: usize = 64;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Print(Pipe),
    /// `{{ $x := … }}` or `{{ $x = … }}`.
    Set {
        name: String,
        declare: bool,
        pipe: Pipe,
    },
    If(Vec<(Condition, Vec<Node>)>, Vec<Node>),
    With(Condition, Vec<Node>, Vec<Node>),
    Range {
        key: Option<String>,
        item: Option<String>,
        pipe: Pipe,
        body: Vec<Node>,
        or_else: Vec<Node>,
    },
    Break,
    Continue,
    /// `{{template "name" pipeline}}`.
    Template {
        name: String,
        pipe: Option<Pipe>,
    },
}

/// The nodes of a template, and those it defines by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) defined: BTreeMap<String, Vec<Node>>,
}

/// The pipeline of `if` and `with`, and the variable that takes its value.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) variable: Option<String>,
    pub(super) pipe: Pipe,
}

/// Commands joined by `|`.
#[derive(Clone, Debug)]
pub(super) struct Pipe(pub(super) Vec<Expr>);

#[derive(Clone, Debug)]
pub(super) enum Expr {
    Dot,
    /// `.a.b`.
    Field(Vec<String>),
    /// `$x.a`.
    Variable(String, Vec<String>),
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Nil,
    /// A function of the table in [`funcs`], by its name there.
    Call(&'static str, Vec<Expr>),
    /// `(pipeline).a`.
    Group(Pipe, Vec<String>),
}

// === impl Pipe ===

impl Pipe {
    /// The label when the pipeline is nothing but `.label`.
    pub(super) fn as_field(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Expr::Field(path)] if path.len() == 1 => path.first().map(String::as_str),
            _ => None,
        }
    }

    fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Expr)) {
        self.0.iter().for_each(|expr| expr.visit(see));
    }
}

impl Expr {
    fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Expr)) {
        see(self);
        match self {
            Self::Call(_, args) => args.iter().for_each(|arg| arg.visit(see)),
            Self::Group(pipe, _) => pipe.visit(see),
            _ => {}
        }
    }
}

impl Node {
    /// Shows all expressions to `see`.
    pub(super) fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Expr)) {
        match self {
            Self::Text(_) | Self::Break | Self::Continue => {}
            Self::Template { pipe, .. } => pipe.iter().for_each(|p| p.visit(see)),
            Self::Print(pipe) | Self::Set { pipe, .. } => pipe.visit(see),
            Self::If(branches, or_else) => {
                for (condition, body) in branches {
                    condition.pipe.visit(see);
                    body.iter().for_each(|n| n.visit(see));
                }
                or_else.iter().for_each(|n| n.visit(see));
            }
            Self::With(Condition { pipe, .. }, body, or_else)
            | Self::Range { pipe, body, or_else, .. } => {
                pipe.visit(see);
                body.iter().chain(or_else).for_each(|n| n.visit(see));
            }
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Tree, String> {
    let pieces = pieces(text)?;
    let mut parser = Parser {
        pieces: pieces.into_iter(),
        depth: 0,
        n_loops: 0,
        variables: Vec::new(),
        defined: BTreeMap::new(),
    };
    match parser.list()? {
        (nodes, End::Text) => Ok(Tree { nodes, defined: parser.defined }),
        (_, end) => Err(format!("unexpected {{{{{}}}}}", end.word())),
    }
}

/// What a list of nodes ended with.
enum End {
    Text,
    Close,
    /// `{{else}}`, `{{else if …}}` or `{{else with …}}` with what follows the word `else`.
    Else(Vec<Token>),
}

impl End {
    fn word(&self) -> &'static str {
        match self {
            Self::Text => "EOF",
            Self::Close => "end",
            Self::Else(_) => "else",
        }
    }
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    depth: usize,
    n_loops: usize,
    variables: Vec<String>,
    defined: BTreeMap<String, Vec<Node>>,
}

impl Parser {
    fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("template is nested deeper than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        let out = read(self);
        self.depth -= 1;
        out
    }

    fn list(&mut self) -> Result<(Vec<Node>, End), String> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let Some(Token::Ident(word)) = tokens.first() else {
                nodes.push(self.action(tokens)?);
                continue;
            };
            let word = word.clone();
            let rest = || tokens[1..].to_vec();
            match word.as_str() {
                "end" if tokens.len() == 1 => return Ok((nodes, End::Close)),
                "else" => return Ok((nodes, End::Else(rest()))),
                "if" => nodes.push(self.nested(|p| p.if_block(rest()))?),
                "with" => nodes.push(self.nested(|p| p.with_block(rest()))?),
                "range" => nodes.push(self.nested(|p| p.range_block(rest()))?),
                "break" | "continue" if tokens.len() == 1 => {
                    if self.n_loops == 0 {
                        return Err(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                    }
                    nodes.push(if word == "break" { Node::Break } else { Node::Continue });
                }
                "define" => {
                    if self.depth > 0 {
                        return Err("unexpected {{define}}".to_owned());
                    }
                    self.nested(|p| p.define(rest()))?;
                }
                "template" => nodes.push(self.template(rest())?),
                "block" => nodes.push(self.nested(|p| p.block(rest()))?),
                _ => nodes.push(self.action(tokens)?),
            }
        }
        Ok((nodes, End::Text))
    }

    /// A list that must be closed; its variables end with it.
    fn body(&mut self) -> Result<(Vec<Node>, End), String> {
        let n_variables = self.variables.len();
        let out = self.list()?;
        self.variables.truncate(n_variables);
        if matches!(out.1, End::Text) { Err("unexpected EOF".to_owned()) } else { Ok(out) }
    }

    fn else_body(&mut self, end: End) -> Result<Vec<Node>, String> {
        match end {
            End::Else(rest) if rest.is_empty() => match self.body()? {
                (nodes, End::Close) => Ok(nodes),
                _ => Err("expected end; found {{else}}".to_owned()),
            },
            End::Else(_) => Err("unexpected token after else".to_owned()),
            End::Close | End::Text => Ok(Vec::new()),
        }
    }

    fn if_block(&mut self, tokens: Vec<Token>) -> Result<Node, String> {
        let n_variables = self.variables.len();
        let mut branches = Vec::new();
        let mut condition = self.condition(tokens, "if")?;
        loop {
            let (body, end) = self.body()?;
            branches.push((condition, body));
            match end {
                End::Else(rest) if matches!(rest.first(), Some(Token::Ident(w)) if w == "if") => {
                    condition = self.condition(rest[1..].to_vec(), "if")?;
                }
                end => {
                    let or_else = self.else_body(end)?;
                    self.variables.truncate(n_variables);
                    return Ok(Node::If(branches, or_else));
                }
            }
        }
    }

    fn with_block(&mut self, tokens: Vec<Token>) -> Result<Node, String> {
        let n_variables = self.variables.len();
        let condition = self.condition(tokens, "with")?;
        let (body, end) = self.body()?;
        let or_else = self.else_body(end)?;
        self.variables.truncate(n_variables);
        Ok(Node::With(condition, body, or_else))
    }

    /// `pipeline` or `$x := pipeline`.
    fn condition(&mut self, mut tokens: Vec<Token>, word: &str) -> Result<Condition, String> {
        let mut variable = None;
        if let [Token::Variable(name), Token::Declare, ..] = tokens.as_slice() {
            variable = Some(name.clone());
            tokens.drain(..2);
        }
        if tokens.is_empty() {
            return Err(format!("missing value for {word}"));
        }
        let pipe = self.pipe(tokens)?;
        self.variables.extend(variable.clone());
        Ok(Condition { variable, pipe })
    }

    fn range_block(&mut self, tokens: Vec<Token>) -> Result<Node, String> {
        let (mut key, mut item, mut start) = (None, None, 0);
        match tokens.as_slice() {
            [Token::Variable(k), Token::Comma, Token::Variable(i), Token::Declare, ..] => {
                (key, item, start) = (Some(k.clone()), Some(i.clone()), 4);
            }
            [Token::Variable(i), Token::Declare, ..] => (item, start) = (Some(i.clone()), 2),
            _ => {}
        }
        if tokens.len() == start {
            return Err("missing value for range".to_owned());
        }
        let pipe = self.pipe(tokens[start..].to_vec())?;
        let n_variables = self.variables.len();
        self.variables.extend(key.iter().chain(&item).cloned());
        self.n_loops += 1;
        let body = self.body();
        self.n_loops -= 1;
        self.variables.truncate(n_variables);
        let (body, end) = body?;
        let or_else = self.else_body(end)?;
        Ok(Node::Range { key, item, pipe, body, or_else })
    }

    /// A definition in a scope of its own, without what is around it.
    fn define(&mut self, tokens: Vec<Token>) -> Result<(), String> {
        let [Token::Str(name)] = tokens.as_slice() else {
            return Err("unexpected token in define clause".to_owned());
        };
        let body = self.scoped(|p| p.body())?;
        let (nodes, End::Close) = body else {
            return Err("unexpected {{else}} in define clause".to_owned());
        };
        self.defined.insert(name.clone(), nodes);
        Ok(())
    }

    fn scoped<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let variables = std::mem::take(&mut self.variables);
        let n_loops = std::mem::take(&mut self.n_loops);
        let out = read(self);
        (self.variables, self.n_loops) = (variables, n_loops);
        out
    }

    fn template(&mut self, tokens: Vec<Token>) -> Result<Node, String> {
        let mut rest = tokens.into_iter();
        let Some(Token::Str(name)) = rest.next() else {
            return Err("unexpected token in template clause".to_owned());
        };
        let rest: Vec<Token> = rest.collect();
        let pipe = if rest.is_empty() { None } else { Some(self.pipe(rest)?) };
        Ok(Node::Template { name, pipe })
    }

    /// `{{block "name" pipeline}}` defines and uses at once.
    fn block(&mut self, tokens: Vec<Token>) -> Result<Node, String> {
        if tokens.len() < 2 {
            return Err("missing value for block clause".to_owned());
        }
        let name = tokens[..1].to_vec();
        let node = self.template(tokens)?;
        self.define(name)?;
        Ok(node)
    }

    fn action(&mut self, mut tokens: Vec<Token>) -> Result<Node, String> {
        let declare = match tokens.as_slice() {
            [] => return Err("missing value for command".to_owned()),
            [Token::Variable(_), Token::Declare, ..] => true,
            [Token::Variable(_), Token::Assign, ..] => false,
            _ => return Ok(Node::Print(self.pipe(tokens)?)),
        };
        let rest = tokens.split_off(2);
        let Some(Token::Variable(name)) = tokens.into_iter().next() else {
            return Err("missing variable".to_owned());
        };
        let pipe = self.pipe(rest)?;
        if declare {
            self.variables.push(name.clone());
        } else if !self.variables.contains(&name) {
            return Err(format!("undefined variable \"${name}\""));
        }
        Ok(Node::Set { name, declare, pipe })
    }

    fn pipe(&mut self, tokens: Vec<Token>) -> Result<Pipe, String> {
        let mut reader = Reader { tokens: tokens.into_iter().peekable() };
        let pipe = self.commands(&mut reader)?;
        match reader.tokens.next() {
            None => Ok(pipe),
            Some(token) => Err(format!("unexpected {token:?} in command")),
        }
    }

    fn commands(&mut self, reader: &mut Reader) -> Result<Pipe, String> {
        let mut out = vec![self.command(reader, true)?];
        while reader.tokens.next_if_eq(&Token::Pipe).is_some() {
            out.push(self.command(reader, false)?);
        }
        Ok(Pipe(out))
    }

    fn command(&mut self, reader: &mut Reader, first: bool) -> Result<Expr, String> {
        let head = match reader.tokens.peek() {
            None => return Err("missing value for command".to_owned()),
            Some(Token::Ident(word)) => function(word)?,
            Some(_) => None,
        };
        if let Some(name) = head {
            reader.tokens.next();
            let mut args = Vec::new();
            while !matches!(reader.tokens.peek(), None | Some(Token::Pipe | Token::Close)) {
                args.push(self.operand(reader)?);
            }
            return Ok(Expr::Call(name, args));
        }
        let operand = self.operand(reader)?;
        if !first {
            return Err("non executable command in pipeline".to_owned());
        }
        match reader.tokens.peek() {
            None | Some(Token::Pipe | Token::Close) => Ok(operand),
            Some(token) => Err(format!("unexpected {token:?} in operand")),
        }
    }

    fn operand(&mut self, reader: &mut Reader) -> Result<Expr, String> {
        let token = reader.tokens.next().ok_or("missing operand")?;
        Ok(match token {
            Token::Dot => Expr::Dot,
            Token::Field { name, .. } => Expr::Field(reader.path(vec![name])),
            Token::Variable(name) => {
                if !name.is_empty() && !self.variables.contains(&name) {
                    return Err(format!("undefined variable \"${name}\""));
                }
                Expr::Variable(name, reader.path(Vec::new()))
            }
            Token::Str(text) => Expr::Str(text),
            Token::Int(value) => Expr::Int(value),
            Token::Float(value) => Expr::Float(value),
            Token::Ident(word) => match word.as_str() {
                "true" => Expr::Bool(true),
                "false" => Expr::Bool(false),
                "nil" => Expr::Nil,
                word => Expr::Call(function(word)?.ok_or("bad operand")?, Vec::new()),
            },
            Token::Open => {
                let pipe = self.nested(|p| p.commands(reader))?;
                if reader.tokens.next() != Some(Token::Close) {
                    return Err("unclosed left paren".to_owned());
                }
                Expr::Group(pipe, reader.path(Vec::new()))
            }
            token => return Err(format!("unexpected {token:?} in operand")),
        })
    }
}

/// The function of that name; `None` for a constant.
fn function(word: &str) -> Result<Option<&'static str>, String> {
    if matches!(word, "true" | "false" | "nil") {
        return Ok(None);
    }
    match funcs::name(word) {
        Some(name) => Ok(Some(name)),
        None => Err(format!("function {word:?} not defined")),
    }
}

struct Reader {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Reader {
    /// Fields directly behind an operand.
    fn path(&mut self, mut path: Vec<String>) -> Vec<String> {
        while let Some(Token::Field { name, .. }) =
            self.tokens.next_if(|t| matches!(t, Token::Field { spaced: false, .. }))
        {
            path.push(name);
        }
        path
    }
}
