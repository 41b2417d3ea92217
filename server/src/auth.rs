//! Finds the tenant of a request and puts it where handlers look: `Extension<TenantId>`.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use skald_model::TenantId;
use skald_model::tenant::InvalidTenant;

use crate::config::AuthMode;

const HEADER: &str = "x-scope-orgid";

/// Middleware for every route that touches a tenant's data.
pub(crate) async fn tenant(
    State(mode): State<AuthMode>,
    mut request: Request,
    next: Next,
) -> Response {
    // A browser asks before it sends headers of its own, so without a tenant; nothing is read for it.
    if request.method() == Method::OPTIONS {
        return next.run(request).await;
    }
    match identify(mode, request.headers()) {
        Ok(tenant) => {
            request.extensions_mut().insert(tenant);
            next.run(request).await
        }
        Err(error @ InvalidTenant::Empty) => {
            (StatusCode::UNAUTHORIZED, format!("{error}\n")).into_response()
        }
        Err(error) => (
            StatusCode::BAD_REQUEST,
            format!("{error} (err-skald-invalid-tenant, header X-Scope-OrgID)\n"),
        )
            .into_response(),
    }
}

fn identify(mode: AuthMode, headers: &HeaderMap) -> Result<TenantId, InvalidTenant> {
    match mode {
        AuthMode::None => Ok(TenantId::single()),
        AuthMode::TrustedProxy => {
            let mut values = headers.get_all(HEADER).iter();
            let value = values.next().ok_or(InvalidTenant::Empty)?;
            if values.next().is_some() {
                return Err(InvalidTenant::Multiple);
            }
            let text = value.to_str().map_err(|_| InvalidTenant::BadChar('\u{fffd}'))?;
            TenantId::parse(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(values: &[&str]) -> Result<TenantId, InvalidTenant> {
        let mut headers = HeaderMap::new();
        for v in values {
            headers.append(HEADER, v.parse().unwrap());
        }
        identify(AuthMode::TrustedProxy, &headers)
    }

    #[test]
    fn the_header_decides_only_behind_a_proxy() {
        assert_eq!(with(&["team-a"]).unwrap().as_str(), "team-a");
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, "team-a".parse().unwrap());
        assert_eq!(identify(AuthMode::None, &headers).unwrap(), TenantId::single());
    }

    #[test]
    fn bad_headers_are_refused() {
        assert_eq!(with(&[]), Err(InvalidTenant::Empty));
        assert_eq!(with(&[""]), Err(InvalidTenant::Empty));
        for bad in [&["../x"][..], &["a|b"], &["a", "b"], &["__x"], &["%2e%2e"]] {
            assert!(with(bad).is_err(), "{bad:?}");
        }
    }
}
