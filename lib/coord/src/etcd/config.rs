//! How etcd is reached.

use http::Uri;
use http::uri::Scheme;
use serde::{Deserialize, Serialize};
use skald_runtime::{HumanDuration, Secret};

/// How etcd is reached. Any etcd of version 3.4 or newer will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EtcdConfig {
    /// Client addresses of one etcd cluster, as `http://etcd-0:2379` or `https://etcd-0:2379`. One is used,
    /// and the next one when it does not answer. Default none.
    pub endpoints: Vec<String>,
    /// The user of etcd's own authentication, who needs `readwrite` on the cluster's prefix. Default empty:
    /// none.
    pub username: String,
    /// The user's password; never printed. Default empty.
    pub password: Secret,
    /// Time for an endpoint to answer, connecting included, before the next one is asked. Default 3s.
    pub request_timeout: HumanDuration,
    /// For endpoints with `https://`.
    pub tls: EtcdTls,
}

/// TLS to etcd. The files are read again for each new connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EtcdTls {
    /// PEM file with the authorities that are trusted. Default empty: those of the system.
    pub ca_file: String,
    /// PEM file with the certificate chain that is shown to etcd. Default empty: none.
    pub cert_file: String,
    /// PEM file with the key of `cert_file`. Default empty.
    pub key_file: String,
    /// The name that etcd's certificate must have. Default empty: the host of the endpoint.
    pub server_name: String,
}

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("etcd.{key}: {problem}")]
pub struct InvalidConfig {
    pub key: &'static str,
    pub problem: String,
}

impl Default for EtcdConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            username: String::new(),
            password: Secret::default(),
            request_timeout: HumanDuration::from_secs(3),
            tls: EtcdTls::default(),
        }
    }
}

// === impl EtcdConfig ===

impl EtcdConfig {
    /// Refuses settings that cannot work.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let bad = |key, problem: &str| Err(InvalidConfig { key, problem: problem.to_owned() });
        if self.endpoints.is_empty() {
            return bad("endpoints", "give at least one, as http://etcd-0:2379");
        }
        let mut any_tls = false;
        for endpoint in &self.endpoints {
            any_tls |= is_tls(endpoint)?;
        }
        if self.request_timeout.is_zero() {
            return bad("request_timeout", "must not be 0");
        }
        if self.username.is_empty() && !self.password.is_empty() {
            return bad("username", "a password without a user");
        }
        if !self.username.is_empty() && self.password.is_empty() {
            return bad("password", "a user without a password");
        }
        if self.tls.cert_file.is_empty() != self.tls.key_file.is_empty() {
            return bad("tls.cert_file", "cert_file and key_file go together");
        }
        if self.tls != EtcdTls::default() && !any_tls {
            return bad("tls", "no endpoint has https://");
        }
        Ok(())
    }
}

/// Whether an endpoint is to be spoken to over TLS; refuses what is no endpoint.
fn is_tls(endpoint: &str) -> Result<bool, InvalidConfig> {
    let bad = || InvalidConfig {
        key: "endpoints",
        problem: format!("{endpoint:?} is not like http://etcd-0:2379 or https://etcd-0:2379"),
    };
    let uri: Uri = endpoint.parse().map_err(|_| bad())?;
    let tls = match uri.scheme() {
        Some(s) if *s == Scheme::HTTP => false,
        Some(s) if *s == Scheme::HTTPS => true,
        _ => return Err(bad()),
    };
    let has_user = uri.authority().is_some_and(|a| a.as_str().contains('@'));
    if uri.port().is_none() || has_user || uri.path() != "/" || uri.query().is_some() {
        return Err(bad());
    }
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut EtcdConfig)) -> Result<(), InvalidConfig> {
        let endpoints = vec!["http://etcd-0:2379".to_owned()];
        let mut config = EtcdConfig { endpoints, ..EtcdConfig::default() };
        change(&mut config);
        config.validate()
    }

    #[test]
    fn refuses_what_cannot_work_and_says_where() {
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|c| c.endpoints = vec!["https://[::1]:2379/".to_owned()]), Ok(()));
        let key = |change: fn(&mut EtcdConfig)| with(change).unwrap_err().key;
        assert_eq!(key(|c| c.endpoints.clear()), "endpoints");
        for bad in ["", "etcd-0:2379", "ftp://a:1", "http://a", "http://u:p@a:1", "http://a:1/v3"] {
            let refused = with(|c| c.endpoints.push(bad.to_owned())).unwrap_err();
            assert_eq!(refused.key, "endpoints", "{bad}");
        }
        assert_eq!(key(|c| c.request_timeout = HumanDuration::from_secs(0)), "request_timeout");
        assert_eq!(key(|c| c.password = Secret::new("x")), "username");
        assert_eq!(key(|c| c.username = "x".to_owned()), "password");
        assert_eq!(key(|c| c.tls.cert_file = "x".to_owned()), "tls.cert_file");
        assert_eq!(key(|c| c.tls.ca_file = "x".to_owned()), "tls");
    }

    #[test]
    fn never_prints_its_password() {
        let config = EtcdConfig { password: Secret::new("hunter2"), ..EtcdConfig::default() };
        let printed = format!("{config:?}{}", serde_json::to_string(&config).unwrap());
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(serde_json::from_str::<EtcdConfig>(r#"{"passwd":"x"}"#).is_err());
    }
}
