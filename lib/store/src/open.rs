//! From a URL to a store.

use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Once};

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use crate::client::GrpcStore;
use crate::options::{ConditionalPut, Options, S3Options};
use crate::sized::SizedStore;

/// The schemes that [`open`] knows.
pub const SCHEMES: &str = "file://, memory://, s3://, grpc://";

/// Why a storage URL cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("storage URL {0:?} has no scheme (known: {SCHEMES})")]
    NoScheme(String),
    #[error("unknown storage scheme {scheme:?} (known: {SCHEMES})")]
    UnknownScheme { scheme: String },
    #[error("storage URL {url:?}: {reason}")]
    BadUrl { url: String, reason: &'static str },
    #[error(
        "grpcs:// needs TLS, which is not built in; use grpc:// over a private network or a local TLS proxy"
    )]
    NoTls,
    #[error("storage directory {dir:?}")]
    Directory {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("token file {path:?}")]
    TokenFile {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("bearer token has characters that a header cannot carry")]
    BadToken,
    #[error("a grpc:// store can be opened only inside a tokio runtime")]
    NoRuntime,
    #[error("open store")]
    Store(#[from] object_store::Error),
}

/// Opens the store at `url`. Creates a `file://` directory; contacts no network (see [`crate::probe`]).
///
/// `file:///dir` (or `file://./relative`), `memory://` (a fresh one each time), `s3://bucket/prefix`, `grpc://host:port`.
pub fn open(url: &str, options: &Options) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let (scheme, rest) =
        url.split_once("://").ok_or_else(|| OpenError::NoScheme(url.to_owned()))?;
    match scheme {
        "file" => open_file(url, rest, options),
        "memory" if rest.trim_matches('/').is_empty() => Ok(Arc::new(InMemory::new())),
        "memory" => Err(bad_url(url, "memory:// takes no path")),
        "s3" => open_s3(url, rest, &options.s3),
        "grpc" => {
            let authority = rest.trim_end_matches('/');
            if authority.is_empty() || authority.contains(['/', '@', '?', '#']) {
                return Err(bad_url(url, "want grpc://host:port"));
            }
            Ok(Arc::new(GrpcStore::connect_lazy(authority, &options.grpc)?))
        }
        "grpcs" => Err(OpenError::NoTls),
        other => Err(OpenError::UnknownScheme { scheme: other.to_owned() }),
    }
}

fn bad_url(url: &str, reason: &'static str) -> OpenError {
    OpenError::BadUrl { url: url.to_owned(), reason }
}

fn open_file(url: &str, rest: &str, options: &Options) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let path = rest.strip_prefix("localhost").filter(|p| p.starts_with('/')).unwrap_or(rest);
    if !path.starts_with(['/', '.']) {
        return Err(bad_url(url, "want file:///absolute/dir or file://./relative/dir"));
    }
    let dir = FsPath::new(path);
    std::fs::create_dir_all(dir)
        .map_err(|source| OpenError::Directory { dir: dir.to_owned(), source })?;
    let store = LocalFileSystem::new_with_prefix(dir)?
        .with_fsync(options.file.fsync)
        .with_automatic_cleanup(true);
    Ok(Arc::new(store))
}

fn open_s3(url: &str, rest: &str, s3: &S3Options) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() || bucket.contains(['@', '?', '#', ':']) {
        return Err(bad_url(url, "want s3://bucket/prefix"));
    }
    let prefix = Path::parse(prefix).map_err(object_store::Error::from)?;
    install_tls();
    let (attempt, total) = (s3.request_timeout.0, s3.total_timeout.0);
    let small = s3_builder(bucket, s3, ClientOptions::new().with_timeout(attempt), total);
    let transfer = s3.transfer_timeout.0;
    let large = s3_builder(bucket, s3, ClientOptions::new().with_timeout(transfer), transfer);
    let store = SizedStore::new(small.build()?, large.build()?, s3.small_bytes.0);
    if prefix.as_ref().is_empty() {
        return Ok(Arc::new(store));
    }
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

fn s3_builder(
    bucket: &str,
    s3: &S3Options,
    client: ClientOptions,
    total: std::time::Duration,
) -> AmazonS3Builder {
    let client = client.with_connect_timeout(s3.connect_timeout.0).with_allow_http(s3.allow_http);
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: usize::try_from(s3.max_retries).unwrap_or(usize::MAX),
        retry_timeout: total,
    };
    let conditional = match s3.conditional_put {
        ConditionalPut::Etag => S3ConditionalPut::ETagMatch,
        ConditionalPut::Disabled => S3ConditionalPut::Disabled,
    };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(!s3.path_style)
        .with_conditional_put(conditional)
        .with_client_options(client)
        .with_retry(retry);
    if !s3.endpoint.is_empty() {
        builder = builder.with_endpoint(&s3.endpoint);
    }
    if !s3.region.is_empty() {
        builder = builder.with_region(&s3.region);
    }
    if !s3.access_key_id.is_empty() {
        builder = builder.with_access_key_id(&s3.access_key_id);
    }
    if !s3.secret_access_key.is_empty() {
        builder = builder.with_secret_access_key(s3.secret_access_key.expose());
    }
    if !s3.session_token.is_empty() {
        builder = builder.with_token(s3.session_token.expose());
    }
    builder
}

/// reqwest is built without a TLS provider of its own: it takes the process's.
fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that the program has installed one already, which serves as well.
        let _already = rustls::crypto::ring::default_provider().install_default();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(url: &str) -> String {
        open(url, &Options::default()).unwrap_err().to_string()
    }

    #[test]
    fn a_bad_url_says_what_is_wanted() {
        assert!(message("ftp://x").contains("\"ftp\" (known: file://, memory://, s3://, grpc://)"));
        assert!(message("/tmp/x").contains("no scheme"));
        assert!(message("grpcs://h:1").contains("TLS"));
        assert!(message("grpc://").contains("grpc://host:port"));
        assert!(message("grpc://a:1/b").contains("grpc://host:port"));
        assert!(message("file://host/dir").contains("file:///absolute/dir"));
        assert!(message("s3:///prefix").contains("s3://bucket/prefix"));
        assert!(message("memory://x").contains("no path"));
    }

    #[test]
    fn a_directory_is_made_and_a_file_in_its_place_is_an_error() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("a/b");
        open(&format!("file://{}", dir.display()), &Options::default()).unwrap();
        assert!(dir.is_dir());
        std::fs::write(tmp.path().join("f"), "x").unwrap();
        let err = open(&format!("file://{}/f", tmp.path().display()), &Options::default());
        assert!(matches!(err, Err(OpenError::Directory { .. })));
    }

    #[test]
    fn s3_without_network_opens_and_does_not_print_its_secret() {
        let mut options = Options::default();
        options.s3.access_key_id = "id".into();
        options.s3.secret_access_key = crate::options::Secret::new("hunter2");
        let store = open("s3://bucket/some/prefix", &options).unwrap();
        assert!(!format!("{store:?} {store}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_missing_token_file_is_an_error() {
        let mut options = Options::default();
        options.grpc.token_file = "/nonexistent/token".into();
        let err = open("grpc://127.0.0.1:1", &options);
        assert!(matches!(err, Err(OpenError::TokenFile { .. })));
    }
}
