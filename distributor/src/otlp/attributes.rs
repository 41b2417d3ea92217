//! What becomes of an attribute: the rules of the tenant, or the labels that OTLP resources have anyway.

use std::borrow::Cow;

use skald_limits::Limits;
use skald_limits::otlp::{Action, AttributeRule};
use skald_model::regex::Pattern;

use super::value::{Any, Attributes, flatten};
use crate::loki::Pairs;

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
    has_defaults: bool,
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
            has_defaults: !config.resource_attributes.ignore_defaults,
            resource: ready(&config.resource_attributes.attributes_config),
            scope: ready(&config.scope_attributes),
            log: ready(&config.log_attributes),
        }
    }

    pub(super) fn resource<'a>(&self, attributes: Attributes<'a>) -> Resource<'a> {
        let mut out = Resource::default();
        for (name, value) in attributes {
            let action = action(&self.resource, &name).unwrap_or_else(|| {
                let is_label = self.has_defaults && LABELS.contains(&&*name);
                if is_label { Action::IndexLabel } else { Action::StructuredMetadata }
            });
            match action {
                Action::IndexLabel => flatten(named(name), value, &mut out.labels),
                Action::StructuredMetadata => flatten(named(name), value, &mut out.metadata),
                Action::Drop => {}
            }
        }
        out
    }

    pub(super) fn scope<'a>(&self, attributes: Attributes<'a>, out: &mut Pairs<'a>) {
        metadata(&self.scope, attributes, out);
    }

    pub(super) fn log<'a>(&self, attributes: Attributes<'a>, out: &mut Pairs<'a>) {
        metadata(&self.log, attributes, out);
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

/// The name as a label name, by the rule that OpenTelemetry has for Prometheus: one `_` for each run of
/// other characters than letters and digits, `__…__` kept, a word in front of a digit.
pub(super) fn named(name: Cow<'_, str>) -> Cow<'_, str> {
    let bytes = name.as_bytes();
    let has_run = bytes.windows(2).any(|two| two == b"__");
    let starts_with_digit = bytes.first().is_some_and(u8::is_ascii_digit);
    if !has_run
        && !starts_with_digit
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
    {
        return name;
    }
    let reserved = name.strip_prefix("__").and_then(|n| n.strip_suffix("__"));
    let mut out = String::with_capacity(name.len() + 4);
    out.push_str(if reserved.is_some() { "__" } else { "" });
    out.push_str(if starts_with_digit { "key_" } else { "" });
    let mut in_run = false;
    for c in reserved.unwrap_or(&name).chars() {
        let is_plain = c.is_ascii_alphanumeric();
        if is_plain {
            out.push(c);
        } else if !in_run {
            out.push('_');
        }
        in_run = !is_plain;
    }
    out.push_str(if reserved.is_some() { "__" } else { "" });
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_for_prometheus() {
        for (name, want) in [
            ("a_b", "a_b"),
            ("k8s.pod.name", "k8s_pod_name"),
            ("a..b__c-é", "a_b_c_"),
            ("__name__", "__name__"),
            ("_a", "_a"),
            ("1st", "key_1st"),
        ] {
            assert_eq!(named(name.into()), want);
        }
    }
}
