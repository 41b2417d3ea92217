//! Drain: lines with the same number of tokens whose first words agree, and of which enough tokens
//! are equal, are of one pattern. What differs becomes `<_>`.
//!
//! ```text
//! number of tokens → word → word → … → clusters, the most similar is taken
//! ```
//!
//! A word with a digit, or one too many, goes the way of the wildcard. Work for a line is bounded by
//! its tokens and the clusters at one place; memory by the clusters there may be.

use std::collections::{BTreeMap, HashMap};

use super::tokens::Tokens;

/// Words that choose the way.
const DEPTH: usize = 8;
/// Ways on from one place.
const MAX_CHILDREN: usize = 15;
/// Clusters at once; the one that no line has met for the longest time goes.
const MAX_CLUSTERS: usize = 300;
/// Of this part of a line's tokens at least must be equal, in percent.
const SIMILAR_PERCENT: usize = 30;

const WILDCARD: &str = "<_>";

/// Patterns of many lines.
#[derive(Debug, Default)]
pub(super) struct Drain {
    nodes: Vec<Node>,
    roots: HashMap<(usize, bool), usize>,
    clusters: Vec<Cluster>,
    lines: u64,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, usize>,
    wildcard: Option<usize>,
    /// Places in the list of clusters.
    clusters: Vec<usize>,
}

/// Lines of one pattern.
#[derive(Debug)]
struct Cluster {
    /// `None` is a wildcard.
    words: Vec<Option<Box<str>>>,
    spaces: Vec<bool>,
    is_part: bool,
    node: usize,
    last_line: u64,
    samples: BTreeMap<i64, f64>,
}

// === impl Drain ===

impl Drain {
    /// Counts a line `weight` times at `time`.
    pub(super) fn add(&mut self, line: &Tokens<'_>, time: i64, weight: f64) {
        self.lines += 1;
        let node = self.place(line);
        let at = self.best(node, line).unwrap_or_else(|| self.begin(node, line));
        let now = self.lines;
        if let Some(cluster) = self.clusters.get_mut(at) {
            cluster.take(line);
            cluster.last_line = now;
            *cluster.samples.entry(time).or_default() += weight;
        }
    }

    /// Every pattern with its counts by time.
    pub(super) fn patterns(self) -> impl Iterator<Item = (String, BTreeMap<i64, f64>)> {
        self.clusters.into_iter().map(|c| (c.pattern(), c.samples))
    }

    /// The place that a line's first words lead to.
    fn place(&mut self, line: &Tokens<'_>) -> usize {
        let root = (line.words.len(), line.is_part);
        let mut at = match self.roots.get(&root) {
            Some(at) => *at,
            None => {
                let at = self.node();
                self.roots.insert(root, at);
                at
            }
        };
        for word in line.words.iter().take(DEPTH) {
            at = self.step(at, word);
        }
        at
    }

    fn step(&mut self, from: usize, word: &str) -> usize {
        let Some(node) = self.nodes.get(from) else { return from };
        if let Some(next) = node.children.get(word) {
            return *next;
        }
        let varies = word.bytes().any(|b| b.is_ascii_digit());
        if !varies && node.children.len() < MAX_CHILDREN {
            let next = self.node();
            self.nodes[from].children.insert(word.into(), next);
            return next;
        }
        if let Some(next) = node.wildcard {
            return next;
        }
        let next = self.node();
        self.nodes[from].wildcard = Some(next);
        next
    }

    fn node(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    /// The most similar cluster at a place, if any is similar enough.
    fn best(&self, node: usize, line: &Tokens<'_>) -> Option<usize> {
        let here = &self.nodes.get(node)?.clusters;
        let equal = |at: &usize| Some((self.clusters.get(*at)?.n_equal(line), *at));
        let (n_equal, at) = here.iter().filter_map(equal).max_by_key(|(n, _)| *n)?;
        (n_equal * 100 >= SIMILAR_PERCENT * line.words.len()).then_some(at)
    }

    fn begin(&mut self, node: usize, line: &Tokens<'_>) -> usize {
        let cluster = Cluster {
            words: line.words.iter().map(|w| Some((*w).into())).collect(),
            spaces: line.spaces.clone(),
            is_part: line.is_part,
            node,
            last_line: self.lines,
            samples: BTreeMap::new(),
        };
        let at = if self.clusters.len() < MAX_CLUSTERS {
            self.clusters.push(cluster);
            self.clusters.len() - 1
        } else {
            let oldest = self.clusters.iter().enumerate().min_by_key(|(_, c)| c.last_line);
            let at = oldest.map_or(0, |(at, _)| at);
            let old = self.clusters[at].node;
            self.nodes[old].clusters.retain(|c| *c != at);
            self.clusters[at] = cluster;
            at
        };
        self.nodes[node].clusters.push(at);
        at
    }
}

// === impl Cluster ===

impl Cluster {
    fn n_equal(&self, line: &Tokens<'_>) -> usize {
        let words = self.words.iter().zip(&line.words);
        words.filter(|(mine, word)| mine.as_deref() == Some(word)).count()
    }

    /// Makes wildcards of what differs.
    fn take(&mut self, line: &Tokens<'_>) {
        for (mine, word) in self.words.iter_mut().zip(&line.words) {
            if mine.as_deref().is_some_and(|mine| mine != *word) {
                *mine = None;
            }
        }
        // Where one line has a space and another none, both neighbours are unknown.
        for i in 0..self.spaces.len().min(line.spaces.len()) {
            if self.spaces[i] != line.spaces[i] {
                self.words[i] = None;
                if let Some(next) = self.words.get_mut(i + 1) {
                    *next = None;
                }
            }
        }
    }

    /// As a pattern filter takes it; neighbouring wildcards are one.
    fn pattern(&self) -> String {
        let mut out = String::new();
        let mut wild = self.is_part;
        if wild {
            out.push_str(WILDCARD);
        }
        for (i, word) in self.words.iter().enumerate() {
            match word {
                Some(word) => {
                    out.push_str(word);
                    wild = false;
                }
                None if wild => {}
                None => {
                    out.push_str(WILDCARD);
                    wild = true;
                }
            }
            let next_is_wild = self.words.get(i + 1).is_some_and(Option::is_none);
            if self.spaces[i] && !(wild && next_is_wild) {
                out.push(' ');
                wild = false;
            }
        }
        if self.is_part && !wild {
            out.push_str(WILDCARD);
        }
        out
    }
}
