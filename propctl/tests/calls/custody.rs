//! Keys and backups of three services, with one command.

use serde_json::Value;

use crate::{
    house::{House, propctl, propctl_told, text},
    store::Store,
};

const SERVICES: [&str; 3] = ["auth-svc", "access-svc", "biometric-svc"];

async fn three() -> (House, [Store; 3]) {
    let mut house = House::new();
    let stores = SERVICES.map(Store::new);
    for (service, store) in SERVICES.into_iter().zip(&stores) {
        house.serve(service, store.routes()).await;
    }
    (house, stores)
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_rotates_every_service_and_a_repeat_of_it_no_service_twice() {
    let (house, stores) = three().await;
    let settings = house.settings("operator/operator/olga");
    let rotated = propctl(&settings, &["keys", "rotate", "--output", "json"]).await;
    assert!(rotated.status.success(), "{}", text(&rotated.stderr));
    let told = json(&rotated.stdout);
    for (place, service) in SERVICES.iter().enumerate() {
        assert_eq!(told[place]["service"], *service);
        assert_eq!(told[place]["after_epoch"], 1);
        assert_eq!(told[place]["old_epochs_destroyed"], true);
        assert_eq!(told[place]["epochs"][0]["id"], 2);
    }
    let resume = "keys rotate --after auth-svc=1,access-svc=1,biometric-svc=1";
    assert!(text(&rotated.stderr).contains(resume));

    let arguments: Vec<&str> = resume.split(' ').collect();
    let again = propctl(&settings, &arguments).await;
    assert!(again.status.success(), "{}", text(&again.stderr));
    for store in &stores {
        assert_eq!(store.state().current, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fails_keeps_no_other_from_being_rotated() {
    let (house, stores) = three().await;
    stores[1].state().stuck = true;
    let settings = house.settings("operator/operator/olga");
    let rotated = propctl(&settings, &["keys", "rotate"]).await;
    assert_eq!(rotated.status.code(), Some(1));
    let told = text(&rotated.stderr);
    assert!(told.contains("access-svc CustodyService/RotateKeys: FAILED_PRECONDITION"));
    assert!(told.contains("3 rows do not open"), "{told}");
    assert!(told.contains("not rotated: access-svc"), "{told}");
    assert_eq!(stores[0].state().current, 2);
    assert_eq!(stores[1].state().current, 1);
    assert_eq!(stores[2].state().current, 2);
    let table = text(&rotated.stdout);
    assert!(table.contains("biometric-svc") && !table.contains("access-svc"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_rotated_while_a_service_does_not_tell_where_it_stands() {
    let (mut house, stores) = three().await;
    house.at("biometric-svc", "https://127.0.0.1:1");
    let settings = house.settings("operator/operator/olga");
    let rotated = propctl(&settings, &["keys", "rotate"]).await;
    assert_eq!(rotated.status.code(), Some(3));
    assert!(text(&rotated.stderr).contains("nothing was rotated"));
    assert!(stores[0].state().calls.is_empty());

    let one = propctl(&settings, &["keys", "rotate", "--service", "auth-svc"]).await;
    assert!(one.status.success(), "{}", text(&one.stderr));
    assert_eq!(stores[0].state().calls, ["rotate after 1"]);
    assert!(stores[1].state().calls.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_way_is_waited_for_and_finished() {
    let (house, stores) = three().await;
    {
        let mut state = stores[0].state();
        state.current = 3;
        state.left = Some(40);
        state.busy = 1;
    }
    let settings = house.settings("operator/operator/olga");
    let arguments = ["keys", "rotate", "--service", "auth-svc"];
    let rotated = propctl(&settings, &arguments).await;
    assert!(rotated.status.success(), "{}", text(&rotated.stderr));
    assert!(text(&rotated.stderr).contains("waiting for it"));
    let state = stores[0].state();
    assert_eq!(state.calls, ["rotate after 2", "rotate after 2"]);
    assert_eq!(state.current, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_on_stderr() {
    let (house, stores) = three().await;
    stores[0].state().watched = true;
    let settings = house.settings("operator/operator/olga");
    let arguments = ["keys", "rotate", "--service", "auth-svc"];
    let rotated = propctl(&settings, &arguments).await;
    assert!(rotated.status.success(), "{}", text(&rotated.stderr));
    let told = text(&rotated.stderr);
    assert!(
        told.contains("auth-svc: 500 rows left under epoch 1"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_must_do_with_a_mounted_keyring_is_said() {
    let (house, stores) = three().await;
    stores[0].state().managed = false;
    let settings = house.settings("operator/operator/olga");
    let rotate = ["keys", "rotate", "--service", "auth-svc"];
    let refused = propctl(&settings, &rotate).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("add epoch 2 to it"));

    {
        let mut state = stores[0].state();
        state.current = 2;
        state.left = Some(500);
    }
    let status = propctl(&settings, &["keys", "status", "--service", "auth-svc"]).await;
    assert!(text(&status.stdout).contains("auth-svc: run `propctl keys rotate`"));
    let moved = propctl(&settings, &rotate).await;
    assert!(moved.status.success(), "{}", text(&moved.stderr));
    let told = text(&moved.stdout);
    assert!(
        told.contains("auth-svc: remove epoch 1 from the keyring"),
        "{told}"
    );

    let status = propctl(&settings, &["keys", "status", "--output", "json"]).await;
    assert!(status.status.success(), "{}", text(&status.stderr));
    let told = json(&status.stdout);
    assert_eq!(told[0]["stale_epochs"][0], 1);
    let action = told[0]["action"].as_str().expect("an action");
    assert!(action.starts_with("remove epoch 1"), "{action}");
    assert_eq!(told[1]["action"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_made_listed_and_read_in_every_service() {
    let (house, stores) = three().await;
    let settings = house.settings("operator/operator/olga");
    for _ in 0..2 {
        let made = propctl(&settings, &["backup", "create"]).await;
        assert!(made.status.success(), "{}", text(&made.stderr));
    }
    let listed = propctl(&settings, &["backup", "list", "--output", "json"]).await;
    let told = json(&listed.stdout);
    assert_eq!(told.as_array().map(Vec::len), Some(6));
    assert_eq!(told[0]["service"], "auth-svc");
    assert_eq!(told[0]["path"], "/backups/2");

    let read = propctl(&settings, &["backup", "verify"]).await;
    assert!(read.status.success(), "{}", text(&read.stderr));
    let newest = "verify id 00000000-0000-4000-8000-000000000002";
    assert_eq!(stores[2].state().calls, [newest]);

    let one = ["backup", "verify", "--service", "auth-svc", "/backups/1"];
    let read = propctl(&settings, &one).await;
    assert!(read.status.success(), "{}", text(&read.stderr));
    assert_eq!(stores[0].state().calls, [newest, "verify path /backups/1"]);

    let absent = ["backup", "verify", "--service", "auth-svc", "/backups/9"];
    assert_eq!(propctl(&settings, &absent).await.status.code(), Some(5));
    let whose = propctl(&settings, &["backup", "verify", "/backups/1"]).await;
    assert_eq!(whose.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_service_is_left_without_a_backup_unnoticed() {
    let mut house = House::new();
    let store = Store::new("auth-svc");
    house.serve("auth-svc", store.routes()).await;
    let settings = house.settings("operator/operator/olga");
    let refused = propctl(&settings, &["backup", "create"]).await;
    assert_eq!(refused.status.code(), Some(2));
    let told = text(&refused.stderr);
    assert!(told.contains("access-svc, biometric-svc"), "{told}");
    assert!(store.state().backups.is_empty());

    let empty = propctl(&settings, &["backup", "verify"]).await;
    assert_eq!(empty.status.code(), Some(5));
    assert!(text(&empty.stderr).contains("auth-svc has no backup"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_confirmed_by_the_services_name() {
    let (house, stores) = three().await;
    let settings = house.settings("operator/privacy/pavel");
    let made = propctl(&settings, &["backup", "create"]).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    let restore = ["backup", "restore", "--service", "access-svc", "b.jsonl"];
    for typed in ["", "yes\n", "auth-svc\n"] {
        let refused = propctl_told(&settings, &restore, typed).await;
        assert_eq!(refused.status.code(), Some(2), "{typed:?}");
        assert!(text(&refused.stderr).contains("nothing was restored"));
    }
    assert!(stores[1].state().calls.is_empty());

    let done = propctl_told(&settings, &restore, "access-svc\n").await;
    assert!(done.status.success(), "{}", text(&done.stderr));
    let sure = [&restore[..], &["--yes"]].concat();
    let done = propctl(&settings, &sure).await;
    assert!(done.status.success(), "{}", text(&done.stderr));
    let calls = stores[1].state().calls.clone();
    assert_eq!(calls, ["restore b.jsonl", "restore b.jsonl"]);
}
