//! Runs a template tree over the labels of a line.

use std::collections::BTreeMap;

use super::funcs;
use super::parse::{Condition, Expr, Node, Pipe, Tree};
use super::value::Value;
use super::{MAX_OUTPUT, MAX_STEPS, Scope};

/// How deep defined templates may call each other.
const MAX_CALLS: usize = 64;

/// How a list of nodes ended.
#[derive(PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Run<'a> {
    defined: &'a BTreeMap<String, Vec<Node>>,
    depth: usize,
    scope: &'a dyn Scope,
    variables: Vec<(String, Value)>,
    steps: usize,
    start: usize,
}

pub(super) fn run(tree: &Tree, scope: &dyn Scope, out: &mut Vec<u8>) -> Result<(), String> {
    let defined = &tree.defined;
    let mut run =
        Run { defined, depth: 0, scope, variables: Vec::new(), steps: 0, start: out.len() };
    run.list(&tree.nodes, &Value::Labels, out).map(drop)
}

impl Run<'_> {
    fn list(&mut self, nodes: &[Node], dot: &Value, out: &mut Vec<u8>) -> Result<Flow, String> {
        let n_variables = self.variables.len();
        for node in nodes {
            self.steps += 1;
            if self.steps > MAX_STEPS || out.len() - self.start > MAX_OUTPUT {
                return Err("template result is too large".to_owned());
            }
            let flow = self.node(node, dot, out)?;
            if flow != Flow::Next {
                self.variables.truncate(n_variables);
                return Ok(flow);
            }
        }
        // At the top level variables may stay: nothing reads them any more.
        self.variables.truncate(n_variables);
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &Node, dot: &Value, out: &mut Vec<u8>) -> Result<Flow, String> {
        match node {
            Node::Text(text) => out.extend_from_slice(text.as_bytes()),
            Node::Print(pipe) => match self.pipe(pipe, dot)? {
                Value::Labels => self.all_labels().print(out),
                value => value.print(out),
            },
            Node::Set { name, declare, pipe } => {
                let value = self.pipe(pipe, dot)?;
                match self.variables.iter_mut().rev().find(|(n, _)| n == name) {
                    Some(slot) if !declare => slot.1 = value,
                    _ => self.variables.push((name.clone(), value)),
                }
            }
            Node::If(branches, or_else) => {
                let n_variables = self.variables.len();
                let flow = self.branch(branches, or_else, dot, out);
                self.variables.truncate(n_variables);
                return flow;
            }
            Node::With(condition, body, or_else) => {
                let n_variables = self.variables.len();
                let value = self.condition(condition, dot)?;
                let flow = if value.truth() {
                    self.list(body, &value, out)
                } else {
                    self.list(or_else, dot, out)
                };
                self.variables.truncate(n_variables);
                return flow;
            }
            Node::Range { .. } => return self.range(node, dot, out),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::Template { name, pipe } => self.template(name, pipe.as_ref(), dot, out)?,
        }
        Ok(Flow::Next)
    }

    /// Runs a defined template; it sees its argument only.
    fn template(
        &mut self,
        name: &str,
        pipe: Option<&Pipe>,
        dot: &Value,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let value = pipe.map_or(Ok(Value::Nil), |pipe| self.pipe(pipe, dot))?;
        let nodes =
            self.defined.get(name).ok_or_else(|| format!("template {name:?} not defined"))?;
        if self.depth >= MAX_CALLS {
            return Err(format!("templates call each other more than {MAX_CALLS} levels deep"));
        }
        self.depth += 1;
        let root = vec![(String::new(), value.clone())];
        let variables = std::mem::replace(&mut self.variables, root);
        let flow = self.list(nodes, &value, out);
        self.variables = variables;
        self.depth -= 1;
        flow.map(drop)
    }

    fn branch(
        &mut self,
        branches: &[(Condition, Vec<Node>)],
        or_else: &[Node],
        dot: &Value,
        out: &mut Vec<u8>,
    ) -> Result<Flow, String> {
        for (condition, body) in branches {
            if self.condition(condition, dot)?.truth() {
                return self.list(body, dot, out);
            }
        }
        self.list(or_else, dot, out)
    }

    fn condition(&mut self, condition: &Condition, dot: &Value) -> Result<Value, String> {
        let value = self.pipe(&condition.pipe, dot)?;
        if let Some(name) = &condition.variable {
            self.variables.push((name.clone(), value.clone()));
        }
        Ok(value)
    }

    fn range(&mut self, node: &Node, dot: &Value, out: &mut Vec<u8>) -> Result<Flow, String> {
        let Node::Range { key, item, pipe, body, or_else } = node else { return Ok(Flow::Next) };
        let items: Vec<(Value, Value)> = match self.pipe(pipe, dot)? {
            Value::List(items) => (0..).map(Value::Int).zip(items).collect(),
            Value::Map(map) => map.into_iter().map(|(k, v)| (Value::Str(k), v)).collect(),
            Value::Int(n) => (0..n.min(1 << 17)).map(|i| (Value::Int(i), Value::Int(i))).collect(),
            Value::Nil => Vec::new(),
            Value::Labels => match self.all_labels() {
                Value::Map(map) => map.into_iter().map(|(k, v)| (Value::Str(k), v)).collect(),
                _ => Vec::new(),
            },
            other => return Err(format!("range can't iterate over {}", other.kind())),
        };
        if items.is_empty() {
            return self.list(or_else, dot, out);
        }
        let n_variables = self.variables.len();
        for (k, v) in items {
            if let Some(name) = key {
                self.variables.push((name.clone(), k));
            }
            if let Some(name) = item {
                self.variables.push((name.clone(), v.clone()));
            }
            let flow = self.list(body, &v, out)?;
            self.variables.truncate(n_variables);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    /// The labels as a map, for what needs all of them.
    fn all_labels(&self) -> Value {
        let pairs = self.scope.labels().into_iter();
        Value::Map(pairs.map(|(n, v)| (n.to_owned(), Value::Str(v.to_owned()))).collect())
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, String> {
        let mut last = None;
        for expr in &pipe.0 {
            last = Some(self.expr(expr, dot, last)?);
        }
        Ok(last.unwrap_or(Value::Nil))
    }

    /// `piped` becomes the last argument of a call.
    fn expr(&mut self, expr: &Expr, dot: &Value, piped: Option<Value>) -> Result<Value, String> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err("template takes too many steps".to_owned());
        }
        Ok(match expr {
            Expr::Dot => dot.clone(),
            Expr::Field(path) => self.fields(dot.clone(), path)?,
            Expr::Variable(name, path) => {
                let value = match self.variables.iter().rev().find(|(n, _)| n == name) {
                    Some((_, value)) => value.clone(),
                    None if name.is_empty() => Value::Labels,
                    None => return Err(format!("undefined variable: ${name}")),
                };
                self.fields(value, path)?
            }
            Expr::Str(text) => Value::Str(text.clone()),
            Expr::Int(i) => Value::Int(*i),
            Expr::Float(f) => Value::Float(*f),
            Expr::Bool(b) => Value::Bool(*b),
            Expr::Nil => Value::Nil,
            Expr::Group(pipe, path) => {
                let value = self.pipe(pipe, dot)?;
                self.fields(value, path)?
            }
            Expr::Call(name, args) => self.call(name, args, dot, piped)?,
        })
    }

    fn fields(&self, mut value: Value, path: &[String]) -> Result<Value, String> {
        for name in path {
            value = match value {
                Value::Labels => Value::Str(self.scope.label(name).unwrap_or("").to_owned()),
                Value::Map(mut map) => map.remove(name).unwrap_or(Value::Nil),
                Value::Nil => Value::Nil,
                other => {
                    return Err(format!("can't evaluate field {name} in type {}", other.kind()));
                }
            };
        }
        Ok(value)
    }

    fn call(
        &mut self,
        name: &'static str,
        args: &[Expr],
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, String> {
        match name {
            "and" | "or" => return self.logic(name == "and", args, dot, piped),
            "__line__" => return Ok(Value::text(self.scope.line().to_vec())),
            "__timestamp__" => return Ok(Value::Time(Some(self.scope.timestamp_ns()))),
            _ => {}
        }
        let mut values = Vec::with_capacity(args.len() + 1);
        for arg in args {
            values.push(self.expr(arg, dot, None)?);
        }
        values.extend(piped);
        if name == "index" {
            return self.index(values);
        }
        for value in values.iter_mut().filter(|v| matches!(v, Value::Labels)) {
            *value = self.all_labels();
        }
        funcs::call(name, &values).map_err(|e| format!("error calling {name}: {e}"))
    }

    /// The first argument that decides, or the last one. Later ones are not computed.
    fn logic(
        &mut self,
        all: bool,
        args: &[Expr],
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, String> {
        let mut last = None;
        for arg in args {
            let value = self.expr(arg, dot, None)?;
            if value.truth() != all {
                return Ok(value);
            }
            last = Some(value);
        }
        piped.or(last).ok_or_else(|| "wrong number of args".to_owned())
    }

    fn index(&self, values: Vec<Value>) -> Result<Value, String> {
        let mut values = values.into_iter();
        let mut value = values.next().ok_or("wrong number of args for index")?;
        for key in values {
            value = match (value, key) {
                (Value::Labels, Value::Str(name)) => self.fields(Value::Labels, &[name])?,
                (Value::Map(mut map), Value::Str(name)) => map.remove(&name).unwrap_or(Value::Nil),
                (Value::List(items), Value::Int(i)) => usize::try_from(i)
                    .ok()
                    .and_then(|i| items.into_iter().nth(i))
                    .ok_or_else(|| format!("index out of range: {i}"))?,
                (Value::Str(text), Value::Int(i)) => usize::try_from(i)
                    .ok()
                    .and_then(|i| text.as_bytes().get(i).map(|b| Value::Int(i64::from(*b))))
                    .ok_or_else(|| format!("index out of range: {i}"))?,
                (value, key) => {
                    return Err(format!("can't index {} with {}", value.kind(), key.kind()));
                }
            };
        }
        Ok(value)
    }
}
