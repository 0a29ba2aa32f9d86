//! Tokens issued, told of and ended, and what is published for them.

use super::*;

#[tokio::test]
async fn a_token_is_answered_and_kept_by_nobody() {
    let (_, router) = edge();
    let answer = ask(&router, token(CLIENT)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("pragma"), "no-cache");
    assert_eq!(
        answer.body,
        serde_json::json!({"access_token":"t","token_type":"Bearer","expires_in":60,"scope":"door:open"})
    );
    let answer = ask(&router, token("grant_type=client_credentials")).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.body["error"], "invalid_client");
    assert!(
        answer
            .header("www-authenticate")
            .starts_with("Basic realm=")
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    let large = format!("{CLIENT}&x={}", "x".repeat(body::LIMIT));
    let answer = ask(&router, token(&large)).await;
    assert_eq!(
        (answer.status(), answer.body["error"].as_str()),
        (413, Some("invalid_request"))
    );
}

#[tokio::test]
async fn metadata_names_what_works_and_may_be_kept() {
    let (_, router) = edge();
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ] {
        let answer = ask(
            &router,
            Request::get(path).body(Body::empty()).expect("a request"),
        )
        .await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.body["issuer"], "https://edge.example");
        assert_eq!(
            answer.body["token_endpoint"],
            "https://edge.example/oauth2/token"
        );
        assert!(answer.body.get("authorization_endpoint").is_none());
    }
    let request = Request::get("/.well-known/jwks.json")
        .body(Body::empty())
        .expect("a request");
    let answer = ask(&router, request).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    assert_eq!(answer.body, serde_json::json!({"keys": []}));
}

#[tokio::test]
async fn tokens_are_told_of_and_ended() {
    let (_, router) = edge();
    let request = |path: &str, token: &str| {
        Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(format!(
                "client_id=a&client_secret=b&token={token}"
            )))
            .expect("a request")
    };
    let answer = ask(&router, request("/oauth2/introspect", "good")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.body,
        serde_json::json!({"active": true, "token_type": "Bearer", "sub": "s"})
    );
    let answer = ask(&router, request("/oauth2/introspect", "bad")).await;
    assert_eq!(answer.body, serde_json::json!({"active": false}));
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        let answer = ask(&router, request(path, "")).await;
        assert_eq!(answer.body["error"], "invalid_request", "{path}");
    }
    let answer = ask(&router, request("/oauth2/revoke", "any")).await;
    assert_eq!((answer.status(), answer.body), (200, Value::Null));
}
