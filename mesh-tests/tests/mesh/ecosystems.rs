//! Partners' own libraries against our token endpoint: each takes a token by
//! secret and by assertion and validates it with its own JWT library.

use std::{path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use devmesh::operator::Operator;
use mesh_tests::{ClientKey, Database, Mesh};
use propdev_proto::auth::RegisterClientRequest;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_node_and_go_get_tokens_and_validate_them() {
    let mesh = Mesh::start(Database::Sqlite).await;
    let key = ClientKey::generate("library");
    let request = RegisterClientRequest {
        partner_id: mesh.estate.partner_id.clone(),
        name: "a library".into(),
        site_ids: vec![mesh.estate.site_id.clone()],
        scopes: vec!["door:open".into()],
        jwks: key.jwks(),
        without_secret: true,
        ..RegisterClientRequest::default()
    };
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let registered = operator
        .clients()
        .register_client(request)
        .await
        .expect("registered");
    let jwt_client = registered.into_inner().client.expect("a client").client_id;
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(&key.pkcs8)
    );
    let key_file = mesh.folder.path().join("client.key");
    std::fs::write(&key_file, pem).expect("written");

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tools = root.join(".tools");
    let script = root.join("mesh-tests/ecosystems/python/oauth.py");
    let programs = [
        vec![tools.join("oauth-python/bin/python3"), script],
        vec![tools.join("bin/node"), tools.join("oauth-node/oauth.js")],
        vec![tools.join("bin/oauth-go")],
    ];
    for program in programs {
        let partner = mesh.partner();
        let mut command = Command::new(&program[0]);
        command
            .args(&program[1..])
            .env("EDGE_URL", &partner.edge)
            .env("EDGE_CA", mesh.layout.ca())
            .env("CLIENT_ID", &partner.client_id)
            .env("CLIENT_SECRET", &partner.client_secret)
            .env("JWT_CLIENT_ID", &jwt_client)
            .env("JWT_KEY", &key_file)
            .env("JWT_KID", "library");
        let name = program[program.len() - 1].display().to_string();
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .expect("joined")
            .unwrap_or_else(|error| {
                panic!("{name}: {error} (scripts/tools.sh oauth-python oauth-node oauth-go)")
            });
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(told["secret"], true, "{told}");
        assert_eq!(told["private_key_jwt"], true, "{told}");
        assert!(told["validated_by"].is_string(), "{told}");
    }
}
