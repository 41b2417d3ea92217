//! What becomes of the attributes of OTLP logs: stream label, structured metadata, or nothing.
//!
//! The shape is that of Loki's `otlp_config`, so that a tenant's settings can be taken over.

use serde::{Deserialize, Serialize};
use skald_model::regex::Pattern;

/// Rules of one tenant. What no rule names is structured metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    pub resource_attributes: ResourceAttributes,
    /// Rules for attributes of scopes, which cannot be stream labels. Default none.
    pub scope_attributes: Vec<AttributeRule>,
    /// Rules for attributes of log records, which cannot be stream labels. Default none.
    pub log_attributes: Vec<AttributeRule>,
}

/// Rules for attributes of resources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceAttributes {
    /// Do not make stream labels of the attributes that are labels without rules. Default false.
    pub ignore_defaults: bool,
    /// Rules; the first that names an attribute decides. Default none.
    pub attributes_config: Vec<AttributeRule>,
}

/// What to do with some attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeRule {
    pub action: Action,
    /// Names, with their dots.
    #[serde(default)]
    pub attributes: Vec<String>,
    /// An expression that the whole name must match; empty = none.
    #[serde(default)]
    pub regex: String,
}

/// See [`AttributeRule`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    IndexLabel,
    #[default]
    StructuredMetadata,
    Drop,
}

// === impl OtlpConfig ===

impl OtlpConfig {
    /// What is wrong with the rules.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (place, rules) in [
            ("resource_attributes.attributes_config", &self.resource_attributes.attributes_config),
            ("scope_attributes", &self.scope_attributes),
            ("log_attributes", &self.log_attributes),
        ] {
            for rule in rules {
                if !rule.regex.is_empty() {
                    Pattern::new(&rule.regex).map_err(|e| format!("{place}: {e}"))?;
                }
                if rule.regex.is_empty() && rule.attributes.is_empty() {
                    return Err(format!("{place}: a rule names neither attributes nor a regex"));
                }
                let may_be_label = place.starts_with("resource");
                if rule.action == Action::IndexLabel && !may_be_label {
                    return Err(format!("{place}: only resource attributes can be index_label"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<(), String> {
        serde_json::from_str::<OtlpConfig>(json).map_err(|e| e.to_string())?.check()
    }

    #[test]
    fn takes_lokis_settings() {
        let rules = r#"{"resource_attributes":{"ignore_defaults":true,"attributes_config":
            [{"action":"index_label","attributes":["service.group"],"regex":"k8s\\..*"}]},
            "log_attributes":[{"action":"drop","regex":".*secret.*"}]}"#;
        assert_eq!(checked(rules), Ok(()));
    }

    #[test]
    fn refuses_rules_that_cannot_be_followed() {
        for bad in [
            r#"{"log_attributes":[{"action":"index_label","regex":"a"}]}"#,
            r#"{"log_attributes":[{"action":"drop"}]}"#,
            r#"{"scope_attributes":[{"action":"drop","regex":"("}]}"#,
            r#"{"scope_attributes":[{"action":"lose","regex":"a"}]}"#,
        ] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
