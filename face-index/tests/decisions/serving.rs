//! Who is found while the index changes and many ask.

use face_index::Renewal;

use super::*;

#[test]
fn a_renewed_rotation_finds_the_same_people() {
    let mut source = Source::isotropic(512);
    let mut rotation = Rotation::random(512, &mut rand::rng());
    let vectors: Vec<Vec<f32>> = (0..50).map(|_| source.draw()).collect();
    let mut codes: Vec<Code> = vectors.iter().map(|v| rotation.encode(&face(v))).collect();
    let mut renewals = 0;
    let first = codes[0].to_bytes();
    while let Ok(renewed) = rotation.renewed(&mut rand::rng()) {
        let renewal = Renewal::between(&rotation, &renewed).expect("one dimension");
        for code in &mut codes {
            *code = renewal.apply(code);
        }
        rotation = renewed;
        renewals += 1;
    }
    assert_eq!(renewals, Rotation::MOST_RENEWALS);
    assert_eq!(rotation.renewals(), renewals);
    assert_ne!(first, codes[0].to_bytes());
    for (vector, code) in vectors.iter().zip(&codes) {
        let values = source.draw_near(vector, 0.6);
        let query = rotation.query(&face(&values), FLOOR);
        let off = query.similarity(Kernel::detect(), code) - 0.6;
        assert!(off.abs() < 0.004, "{off}");
    }
    // The first code under today's rotation is nobody's.
    let stale = Code::from_bytes(&first, rotation.components()).expect("a code");
    let query = rotation.query(&face(&vectors[0]), FLOOR);
    assert!(query.similarity(Kernel::detect(), &stale).abs() < 0.3);
    let bytes = rotation.to_bytes();
    let read = Rotation::from_bytes(&bytes, 512, renewals).expect("a rotation");
    let again = read.query(&face(&vectors[0]), FLOOR);
    assert_eq!(
        query.similarity(Kernel::detect(), &codes[0]),
        again.similarity(Kernel::detect(), &codes[0])
    );
    assert!(Rotation::from_bytes(&bytes[4..], 512, 0).is_err());
    assert!(Rotation::from_bytes(&vec![0; bytes.len()], 512, 0).is_err());
}

#[test]
fn only_the_galleries_asked_for_are_searched_and_the_erased_are_gone() {
    let rotation = Rotation::random(128, &mut rand::rng());
    let index = Index::new(rotation.components(), Kernel::detect());
    let mut source = Source::isotropic(128);
    let values = source.draw();
    let code = rotation.encode(&face(&values));
    let query = rotation.query(&face(&values), 0.5);
    let [a, b, c] = [10, 20, 30].map(Uuid::from_u128);
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    index.put(first, Uuid::from_u128(11), &[a, b], &code);
    index.put(first, Uuid::from_u128(12), &[a, b], &code);
    index.put(second, Uuid::from_u128(21), &[b], &code);
    let found = |galleries: &[Uuid]| {
        let ranking = index.search(&query, Scope::Galleries(galleries));
        (
            ranking.best.map(|s| s.subject),
            ranking.second.is_some(),
            ranking.searched,
        )
    };
    assert_eq!(found(&[a]), (Some(first), false, 2));
    assert_eq!(found(&[a, b]).2, 3, "nobody is searched twice");
    assert!(found(&[b]).1);
    assert_eq!(found(&[c]), (None, false, 0));

    index.set_galleries(first, &[c]);
    assert_eq!(found(&[a]), (None, false, 0));
    assert_eq!(found(&[c]), (Some(first), false, 2));
    // The same template again replaces it.
    index.put(
        first,
        Uuid::from_u128(12),
        &[c],
        &rotation.encode(&face(&source.draw())),
    );
    assert_eq!(found(&[c]).2, 2);
    let query_of_own = rotation.query(&face(&values), 0.5);
    let least = index.least_own_similarity(first, &query_of_own, Uuid::from_u128(12));
    assert!(least.is_some_and(|least| least > 0.99));
    assert_eq!(index.retain(first, &[Uuid::from_u128(11)]), 1);
    assert_eq!(index.erase(first), 1);
    assert_eq!(index.erase(first), 0);
    assert_eq!(found(&[c]), (None, false, 0));
    assert_eq!(index.counts().templates, 1);
    assert_eq!(index.counts().galleries, 1);
}

/// Searches go on while others come and go, and miss none of those who stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stays_is_found_while_others_come_and_go() {
    let mut source = Source::isotropic(512);
    let rotation = Arc::new(Rotation::random(512, &mut rand::rng()));
    let index = Arc::new(Index::new(rotation.components(), Kernel::detect()));
    let stored = Arc::new(crowd(&mut source, &rotation, &index, 34_000));
    let searcher = Searcher::start(2, 64).expect("threads");
    let writer = {
        let (index, stored) = (index.clone(), stored.clone());
        std::thread::spawn(move || {
            for round in 0..2_000u128 {
                let passing = Uuid::from_u128(5_000_000 + round % 50);
                let code = &stored[round as usize].code;
                index.put(
                    passing,
                    Uuid::from_u128(6_000_000 + round),
                    &[GALLERY],
                    code,
                );
                if round % 7 == 0 {
                    index.set_galleries(passing, &[Uuid::from_u128(99)]);
                }
                if round % 2 == 0 {
                    index.erase(passing);
                }
            }
        })
    };
    let mut searches = Vec::new();
    for number in 0..64 {
        let one = 30_000 + number * 3;
        let probe = face(&source.draw_near(&stored[one].values, 0.7));
        let query = rotation.query(&probe, FLOOR);
        let (searcher, index, subject) = (searcher.clone(), index.clone(), stored[one].subject);
        searches.push(tokio::spawn(async move {
            let ranking = searcher.search(&index, query, Some(vec![GALLERY])).await;
            (ranking.expect("a ranking").best.map(|s| s.subject), subject)
        }));
    }
    for search in searches {
        let (found, expected) = search.await.expect("joined");
        assert_eq!(found, Some(expected));
    }
    writer.join().expect("joined");
}

#[tokio::test]
async fn what_waits_past_the_queue_is_refused_at_once() {
    let mut source = Source::isotropic(512);
    let rotation = Arc::new(Rotation::random(512, &mut rand::rng()));
    let index = Arc::new(Index::new(rotation.components(), Kernel::detect()));
    crowd(&mut source, &rotation, &index, 34_000);
    let searcher = Searcher::start(1, 1).expect("threads");
    let searches = (0..200).map(|_| {
        let query = rotation.query(&face(&source.draw()), FLOOR);
        let (searcher, index) = (searcher.clone(), index.clone());
        async move { searcher.search(&index, query, None).await }
    });
    let answers = futures::future::join_all(searches).await;
    assert!(answers.iter().any(Result::is_err));
    assert!(answers.iter().any(Result::is_ok));
}

#[tokio::test]
async fn small_galleries_are_refused_past_the_same_bound() {
    let mut source = Source::isotropic(128);
    let rotation = Rotation::random(128, &mut rand::rng());
    let index = Arc::new(Index::new(rotation.components(), Kernel::detect()));
    fill(&mut source, &rotation, &index, 100);
    let searcher = Searcher::start(1, 8).expect("threads");
    for _ in 0..2 {
        let searches = (0..200).map(|_| {
            let query = rotation.query(&face(&source.draw()), FLOOR);
            let (searcher, index) = (searcher.clone(), index.clone());
            async move { searcher.search(&index, query, None).await }
        });
        let answers = futures::future::join_all(searches).await;
        let answered = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(answered, 8, "and those of before have made room");
    }
}

/// Cheaper than [`fill`]: most vectors are one before, its components moved on.
fn crowd(source: &mut Source, rotation: &Rotation, index: &Index, count: usize) -> Vec<Stored> {
    let mut values = Vec::new();
    (0..count)
        .map(|number| {
            match number % 32 {
                0 => values = source.draw(),
                _ => values.rotate_right(7),
            }
            let code = rotation.encode(&face(&values));
            let subject = Uuid::from_u128(1 + number as u128);
            index.put(subject, subject, &[GALLERY], &code);
            Stored {
                subject,
                values: values.clone(),
                code,
            }
        })
        .collect()
}
