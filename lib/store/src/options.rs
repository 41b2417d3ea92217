//! How stores are opened: everything that a URL does not say.

use serde::{Deserialize, Serialize};
pub use skald_runtime::Secret;
use skald_runtime::{ByteSize, HumanDuration};

/// Options of all backends; only those of the URL's scheme are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// For `file://`.
    pub file: FileOptions,
    /// For `s3://`.
    pub s3: S3Options,
    /// For `grpc://`.
    pub grpc: GrpcOptions,
}

/// Local directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileOptions {
    /// Write through to the disk before a put is acknowledged. Default true; false loses acknowledged blocks on power loss.
    pub fsync: bool,
}

/// Amazon S3 and what speaks its protocol. Empty fields are taken from the usual `AWS_*` environment variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Options {
    /// Endpoint such as `https://minio:9000`. Default empty: Amazon's, or `AWS_ENDPOINT_URL`.
    pub endpoint: String,
    /// Region. Default empty: `AWS_REGION`, else `us-east-1`.
    pub region: String,
    /// Access key id. Default empty: the environment, then the instance's role.
    pub access_key_id: String,
    /// Secret access key; never printed.
    pub secret_access_key: Secret,
    /// Session token of temporary credentials; never printed.
    pub session_token: Secret,
    /// Put the bucket in the path instead of the host name, as most non-Amazon servers want. Default true.
    pub path_style: bool,
    /// Allow an `http://` endpoint. Default false.
    pub allow_http: bool,
    /// How create-if-absent is asked for: `etag` (If-None-Match, default) or `disabled`, with which Skald refuses to start.
    pub conditional_put: ConditionalPut,
    /// Time to connect. Default 5s.
    pub connect_timeout: HumanDuration,
    /// Time of one attempt of a small request: head, list, delete, puts and ranges up to `small_bytes`. Default 10s.
    pub request_timeout: HumanDuration,
    /// Time of all attempts of a small request. Default 30s.
    pub total_timeout: HumanDuration,
    /// Time of one attempt, and of all, of a large transfer. Default 5m.
    pub transfer_timeout: HumanDuration,
    /// Up to this size a transfer is small. Default 1MiB.
    pub small_bytes: ByteSize,
    /// Attempts after the first. Default 10.
    pub max_retries: u32,
}

/// Conditional puts of an S3 endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConditionalPut {
    #[default]
    Etag,
    Disabled,
}

/// A plugin that serves `skald.storage.v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcOptions {
    /// Bearer token sent with each call; never printed. Default empty: none.
    pub token: Secret,
    /// File to read the token from when the store is opened; wins over `token`. Default empty.
    pub token_file: String,
    /// Time to connect. Default 5s.
    pub connect_timeout: HumanDuration,
    /// Time of one attempt of a small call, and between two frames of a stream. Default 10s.
    pub request_timeout: HumanDuration,
    /// Time of a put or a part, however large. Default 5m.
    pub transfer_timeout: HumanDuration,
    /// Attempts after the first, of calls that may be repeated. Default 4.
    pub max_retries: u32,
}

// === defaults ===

impl Default for FileOptions {
    fn default() -> Self {
        Self { fsync: true }
    }
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            region: String::new(),
            access_key_id: String::new(),
            secret_access_key: Secret::default(),
            session_token: Secret::default(),
            path_style: true,
            allow_http: false,
            conditional_put: ConditionalPut::Etag,
            connect_timeout: HumanDuration::from_secs(5),
            request_timeout: HumanDuration::from_secs(10),
            total_timeout: HumanDuration::from_secs(30),
            transfer_timeout: HumanDuration::from_secs(300),
            small_bytes: ByteSize(1 << 20),
            max_retries: 10,
        }
    }
}

impl Default for GrpcOptions {
    fn default() -> Self {
        Self {
            token: Secret::default(),
            token_file: String::new(),
            connect_timeout: HumanDuration::from_secs(5),
            request_timeout: HumanDuration::from_secs(10),
            transfer_timeout: HumanDuration::from_secs(300),
            max_retries: 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_secrets() -> Options {
        let mut options = Options::default();
        options.s3.secret_access_key = Secret::new("hunter2");
        options.s3.session_token = Secret::new("hunter2");
        options.grpc.token = Secret::new("hunter2");
        options
    }

    #[test]
    fn secrets_are_never_printed() {
        let options = with_secrets();
        let json = serde_json::to_string(&options).unwrap();
        assert!(!format!("{options:?}{json}").contains("hunter2"));
        let reread = serde_json::from_str::<Options>(&json).unwrap_err().to_string();
        assert!(reread.contains("redacted"), "{reread}");
    }

    #[test]
    fn the_defaults_can_be_printed_and_read_again() {
        let json = serde_json::to_string(&Options::default()).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&json).unwrap(), Options::default());
    }

    #[test]
    fn an_unknown_option_is_an_error() {
        assert!(serde_json::from_str::<Options>(r#"{"s3":{"bukket":"x"}}"#).is_err());
        let set = r#"{"s3":{"secret_access_key":"k","request_timeout":"3s"}}"#;
        let options: Options = serde_json::from_str(set).unwrap();
        assert_eq!(options.s3.secret_access_key.expose(), "k");
        assert_eq!(options.s3.request_timeout, HumanDuration::from_secs(3));
    }
}
