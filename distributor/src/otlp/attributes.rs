//! What becomes of an attribute: the rules of the tenant, or the labels that OTLP resources have anyway.

use std::borrow::Cow;

use skald_limits::Limits;
use skald_limits::otlp::{Action, AttributeRule};
use skald_model::regex::Pattern;

use super::value::{Any, Attributes, flatten};
use crate::loki::{Pairs, SERVICE_NAME};

/// Resource attributes that are stream labels unless the tenant says otherwise.
const LABELS: [&str; 18] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

/// The tenant's rules, ready to be asked.
#[derive(Debug)]
pub(super) struct Rules<'l> {
    limits: &'l Limits,
    resource: Vec<Rule<'l>>,
    scope: Vec<Rule<'l>>,
    log: Vec<Rule<'l>>,
}

#[derive(Debug)]
struct Rule<'l> {
    rule: &'l AttributeRule,
    regex: Option<Pattern>,
}

/// A resource's labels and the metadata that each of its records has.
#[derive(Debug, Default)]
pub(super) struct Resource<'a> {
    pub(super) labels: Pairs<'a>,
    pub(super) metadata: Pairs<'a>,
}

// === impl Rules ===

impl<'l> Rules<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        let config = &limits.otlp_config;
        let ready = |rules: &'l [AttributeRule]| rules.iter().map(Rule::new).collect();
        Self {
            limits,
            resource: ready(&config.resource_attributes.attributes_config),
            scope: ready(&config.scope_attributes),
            log: ready(&config.log_attributes),
        }
    }

    pub(super) fn resource<'a>(&self, attributes: Attributes<'a>) -> Resource<'a> {
        let mut out = Resource::default();
        let defaults = !self.limits.otlp_config.resource_attributes.ignore_defaults;
        let service = self.service_name(&attributes);
        for (name, value) in attributes {
            let action = action(&self.resource, &name).unwrap_or_else(|| {
                let is_label = defaults && LABELS.contains(&&*name);
                if is_label { Action::IndexLabel } else { Action::StructuredMetadata }
            });
            match action {
                Action::IndexLabel => flatten(named(name), value, &mut out.labels),
                Action::StructuredMetadata => flatten(named(name), value, &mut out.metadata),
                Action::Drop => {}
            }
        }
        let has_service = out.labels.iter().any(|(n, v)| n == SERVICE_NAME && !v.is_empty());
        if let Some(service) = service.filter(|_| !has_service) {
            out.labels.push((Cow::Borrowed(SERVICE_NAME), service));
        }
        out
    }

    pub(super) fn scope<'a>(&self, attributes: Attributes<'a>, out: &mut Pairs<'a>) {
        metadata(&self.scope, attributes, out);
    }

    pub(super) fn log<'a>(&self, attributes: Attributes<'a>, out: &mut Pairs<'a>) {
        metadata(&self.log, attributes, out);
    }

    /// What names the service when `service.name` does not.
    fn service_name<'a>(&self, attributes: &Attributes<'a>) -> Option<Cow<'a, str>> {
        let is = |wanted: &String| {
            let found =
                attributes.iter().find(|(n, _)| n == wanted || *named(n.clone()) == **wanted);
            let text = found?.1.clone().into_text();
            Some(text).filter(|t| !t.is_empty())
        };
        self.limits.discover_service_name.iter().find_map(is)
    }
}

// === impl Rule ===

impl<'l> Rule<'l> {
    fn new(rule: &'l AttributeRule) -> Self {
        // The limits were checked when they were read.
        let regex = (!rule.regex.is_empty()).then(|| Pattern::new(&rule.regex).ok()).flatten();
        Self { rule, regex }
    }
}

fn action(rules: &[Rule<'_>], name: &str) -> Option<Action> {
    let is = |r: &&Rule<'_>| {
        r.rule.attributes.iter().any(|a| a == name)
            || r.regex.as_ref().is_some_and(|regex| regex.is_match(name))
    };
    Some(rules.iter().find(is)?.rule.action)
}

fn metadata<'a>(rules: &[Rule<'_>], attributes: Attributes<'a>, out: &mut Pairs<'a>) {
    for (name, value) in attributes {
        if value != Any::Empty && action(rules, &name) != Some(Action::Drop) {
            flatten(named(name), value, out);
        }
    }
}

/// The name as a label name: `_` for what those must not have, and a word in front of a digit.
pub(super) fn named(name: Cow<'_, str>) -> Cow<'_, str> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let starts_with_digit = name.bytes().next().is_some_and(|b| b.is_ascii_digit());
    if name.bytes().all(ok) && !starts_with_digit {
        return name;
    }
    let valid = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let prefix = if starts_with_digit { "key_" } else { "" };
    Cow::Owned(prefix.chars().chain(name.chars().map(valid)).collect())
}
