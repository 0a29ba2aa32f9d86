//! The API is no browser's: nothing is shared across origins, nothing leads
//! elsewhere, nothing is left behind.

use http::Method;

use super::*;

#[tokio::test]
async fn no_answer_opens_to_another_origin_redirects_or_sets_a_cookie() {
    let (_, router) = edge();
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
    ];
    for path in [
        "/",
        "/oauth2/token",
        "/oauth2/token/",
        "//oauth2/token",
        "/oauth2/introspect",
        "/oauth2/revoke",
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/v1/doors/d/open",
        "/v1/doors/d/open/",
        "/v1/barriers/../doors/d/open",
        "/v1/openings/x",
        "/v1/webhooks/commands",
    ] {
        for method in &methods {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("host", "elsewhere.example")
                .header("origin", "https://elsewhere.example")
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization")
                .header("authorization", "Bearer abc")
                .body(Body::empty())
                .expect("a request");
            let answer = ask(&router, request).await;
            let status = answer.response.status();
            assert!(!status.is_redirection(), "{method} {path}: {status}");
            for name in answer.response.headers().keys().map(|name| name.as_str()) {
                let told = format!("{method} {path}: {name}");
                assert!(!name.starts_with("access-control-"), "{told}");
                assert!(
                    !["location", "refresh", "set-cookie"].contains(&name),
                    "{told}"
                );
            }
            if *method == Method::OPTIONS {
                assert!(status.is_client_error(), "{path}: a preflight got {status}");
            }
        }
    }
}
