use face_index::Rotation;
use mesh::{Clock, SystemClock};
use zeroize::Zeroizing;

use super::*;
use crate::{
    config::ModelConfig,
    domain::model::Model,
    index::Protected,
    store::{NewTemplate, testing::store},
};

fn act(code: &'static str) -> Act {
    Act {
        code,
        subject: "2".into(),
        actor: "operator/operator/dev".into(),
        request: Some("r1".into()),
        at: SystemClock.now(),
    }
}

async fn told(store: &Store, after: Option<Uuid>) -> Vec<StoredAct> {
    store.acts_after(after).await.expect("asked")
}

fn codes(acts: &[StoredAct]) -> Vec<&str> {
    acts.iter().map(|act| act.code.as_str()).collect()
}

#[tokio::test]
async fn acts_are_told_after_the_one_that_the_caller_has() {
    let (store, _folder) = store().await;
    for code in ["one", "two", "three"] {
        store.add_act(act(code)).await.expect("added");
    }
    let all = told(&store, None).await;
    assert_eq!(codes(&all), ["one", "two", "three"]);
    let first = &all[0];
    assert_eq!(first.actor, "operator/operator/dev");
    assert_eq!(first.request.as_deref(), Some("r1"));
    assert_eq!(first.id.get_version_num(), 7);
    let after_first = told(&store, Some(first.id)).await;
    assert_eq!(codes(&after_first), ["two", "three"]);
    assert!(told(&store, Some(all[2].id)).await.is_empty());
}

#[tokio::test]
async fn who_has_an_act_that_a_restore_took_away_is_told_all() {
    let (store, _folder) = store().await;
    store.add_act(act("one")).await.expect("added");
    let taken_away = Some(Uuid::now_v7());
    assert_eq!(codes(&told(&store, taken_away).await), ["one"]);
}

#[tokio::test]
async fn a_model_forgotten_is_one_act_however_often_it_is_asked_for() {
    let (store, _folder) = store().await;
    let template = NewTemplate {
        id: Uuid::now_v7(),
        subject: Uuid::new_v4(),
        model: "m".into(),
        model_version: "1".into(),
        rotation: 1,
        content: Protected(Zeroizing::new(vec![1])),
        galleries: vec![Uuid::new_v4()],
        consent_reference: "signed form 1".into(),
        consented_at: 0,
        created_at: 0,
    };
    store.put(template).await.expect("stored");
    for templates in [1, 0] {
        let act = act("model_forgotten");
        let forgotten = store.forget_model("m".into(), "1".into(), act).await;
        assert_eq!(forgotten.expect("forgotten"), templates);
    }
    assert_eq!(codes(&told(&store, None).await), ["model_forgotten"]);
}

#[tokio::test]
async fn a_rotation_that_was_not_stored_is_no_act() {
    let (store, _folder) = store().await;
    let model = Model::new(&ModelConfig {
        name: "m".into(),
        version: "1".into(),
        dimension: 128,
        threshold: 0.45,
        margin: 0.05,
        false_match_bound: 1e-4,
    })
    .expect("a model");
    let rotation = Rotation::random(model.dimension, &mut rand::rng());
    let renew = async || {
        let act = act("rotation_renewed");
        let added = store.add_rotation(&model, 2, &rotation, act.at, Some(act));
        added.await
    };
    renew().await.expect("renewed");
    assert!(renew().await.is_err(), "the number is taken");
    assert_eq!(codes(&told(&store, None).await), ["rotation_renewed"]);
}
