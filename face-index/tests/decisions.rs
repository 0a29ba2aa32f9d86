//! The search against brute force: over what is stored, and over the vectors
//! as they came.

use std::sync::Arc;

use face_index::{
    Code, Decider, FaceVector, Index, Kernel, Ranking, Renewal, Rotation, Scope, Scored, Searcher,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rand_distr::{Distribution, StandardNormal};
use uuid::Uuid;

const FLOOR: f32 = 0.4;
const MARGIN: f32 = 0.05;
const DECIDER: Decider = Decider {
    threshold: FLOOR,
    margin: MARGIN,
};
/// Every template is at or above it.
const LOWEST: f32 = -2.0;
const GALLERY: Uuid = Uuid::from_u128(1);

struct Stored {
    subject: Uuid,
    values: Vec<f32>,
    code: Code,
}

/// Where vectors come from.
struct Source {
    random: ChaCha12Rng,
    /// How far each component spreads, and where its middle is.
    spread: Vec<f32>,
    middle: Vec<f32>,
}

impl Source {
    fn isotropic(dimension: usize) -> Self {
        Self {
            random: ChaCha12Rng::seed_from_u64(7),
            spread: vec![1.0; dimension],
            middle: vec![0.0; dimension],
        }
    }

    /// A few components carry nearly everything, and nobody is far from the
    /// middle: what signs without a rotation would be blind to.
    fn anisotropic(dimension: usize) -> Self {
        Self {
            random: ChaCha12Rng::seed_from_u64(8),
            spread: (0..dimension)
                .map(|i| 1.0 / (1.0 + i as f32 / 8.0))
                .collect(),
            middle: (0..dimension)
                .map(|i| if i % 16 == 0 { 0.25 } else { 0.0 })
                .collect(),
        }
    }

    fn draw(&mut self) -> Vec<f32> {
        let random = &mut self.random;
        let normal = || -> f32 { StandardNormal.sample(random) };
        let values: Vec<f32> = std::iter::repeat_with(normal)
            .take(self.spread.len())
            .collect();
        let parts = values.iter().zip(&self.spread).zip(&self.middle);
        unit(
            parts
                .map(|((v, spread), middle)| v * spread + middle)
                .collect(),
        )
    }

    /// At exactly this similarity to the vector.
    fn draw_near(&mut self, vector: &[f32], similarity: f32) -> Vec<f32> {
        let other = self.draw();
        let along = dot(&other, vector);
        let across = unit(
            other
                .iter()
                .zip(vector)
                .map(|(o, v)| o - along * v)
                .collect(),
        );
        let rest = (1.0 - similarity * similarity).sqrt();
        unit(
            vector
                .iter()
                .zip(&across)
                .map(|(v, a)| similarity * v + rest * a)
                .collect(),
        )
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f64; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f64::from(*a) * f64::from(*b);
        }
    }
    sums.iter().sum::<f64>() as f32
}

fn unit(values: Vec<f32>) -> Vec<f32> {
    let length = dot(&values, &values).sqrt();
    values.into_iter().map(|v| v / length).collect()
}

fn face(values: &[f32]) -> FaceVector {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    FaceVector::from_le_bytes(&bytes, values.len()).expect("a vector")
}

fn fill(source: &mut Source, rotation: &Rotation, index: &Index, count: usize) -> Vec<Stored> {
    (0..count)
        .map(|number| {
            let values = source.draw();
            let code = rotation.encode(&face(&values));
            // Every third subject has two templates.
            let subject = Uuid::from_u128(1 + number as u128 - u128::from(number % 3 == 1));
            let template = Uuid::from_u128(1_000_000 + number as u128);
            index.put(subject, template, &[GALLERY], &code);
            Stored {
                subject,
                values,
                code,
            }
        })
        .collect()
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

#[derive(Clone, Copy, Debug, PartialEq)]
enum Decision {
    Match(Uuid),
    Nobody,
    Ambiguous,
}

fn decide(ranking: &Ranking) -> Decision {
    match (ranking.best, ranking.second) {
        (Some(best), _) if best.similarity < FLOOR => Decision::Nobody,
        (Some(best), Some(second)) if best.similarity - second.similarity < MARGIN => {
            Decision::Ambiguous
        }
        (Some(best), _) => Decision::Match(best.subject),
        (None, _) => Decision::Nobody,
    }
}

/// Of what is stored, exactly.
fn brute_force(stored: &[Stored], floor: f32, similarity: impl Fn(&Stored) -> f32) -> Ranking {
    let mut ranking = Ranking {
        searched: stored.len(),
        ..Ranking::default()
    };
    for one in stored {
        let similarity = similarity(one);
        if similarity >= floor {
            ranking.add(Scored {
                subject: one.subject,
                similarity,
            });
        }
    }
    ranking
}

async fn no_search_misses(mut source: Source, dimension: usize) {
    let rotation = Rotation::random(dimension, &mut rand::rng());
    let index = Arc::new(Index::new(rotation.components(), Kernel::detect()));
    let searcher = Searcher::start(1, 1).expect("threads");
    let stored = fill(&mut source, &rotation, &index, 8_000);
    let mut near = 0;
    let mut decided = 0;
    for number in 0..400 {
        let about = &stored[(number * 29) % stored.len()].values;
        let similarity = match number % 4 {
            0 => 0.65,
            1 => source.random.random_range(FLOOR - 0.01..FLOOR + 0.01),
            2 => FLOOR,
            _ => 0.1,
        };
        let values = source.draw_near(about, similarity);
        let probe = face(&values);
        let query = rotation.query(&probe, FLOOR);
        let found = index.search(&query, Scope::Galleries(&[GALLERY]));
        let kernel = Kernel::detect();
        let exact = brute_force(&stored, FLOOR, |one| query.similarity(kernel, &one.code));
        assert_eq!(found, exact, "probe {number}");
        near += usize::from(exact.best.is_some());

        // Over the vectors as they came, wherever rounding cannot decide.
        let original = brute_force(&stored, LOWEST, |one| dot(&one.values, &values));
        let (best, second) = (original.best.expect("one"), original.second.expect("two"));
        let apart = best.similarity - second.similarity;
        let at_threshold = (best.similarity - FLOOR).abs() <= 0.002;
        let at_margin = best.similarity >= FLOOR && (apart - MARGIN).abs() <= 0.004;
        if at_threshold || at_margin {
            continue;
        }
        let ranking = searcher
            .rank(&index, &rotation, &probe, DECIDER, Some(vec![GALLERY]))
            .await
            .expect("a ranking");
        let decision = decide(&original);
        assert_eq!(decide(&ranking), decision, "probe {number}");
        if decision != Decision::Nobody {
            let off = (ranking.best.expect("somebody").similarity - best.similarity).abs();
            assert!(off < 0.002, "probe {number} is {off} off");
        }
        decided += 1;
    }
    assert!(near > 150, "only {near} probes find somebody");
    assert!(decided > 200, "only {decided} probes are clear");
}

#[tokio::test]
async fn isotropic_faces_are_found_as_brute_force_finds_them() {
    no_search_misses(Source::isotropic(512), 512).await;
}

#[tokio::test]
async fn anisotropic_faces_too() {
    no_search_misses(Source::anisotropic(512), 512).await;
}

#[tokio::test]
async fn short_and_long_vectors_too() {
    no_search_misses(Source::isotropic(128), 128).await;
    no_search_misses(Source::anisotropic(1_024), 1_024).await;
}

/// A rival below the threshold counts beside a match within the margin of it.
#[tokio::test]
async fn a_rival_below_the_threshold_decides_as_brute_force_decides() {
    let mut source = Source::isotropic(512);
    let rotation = Rotation::random(512, &mut rand::rng());
    let index = Arc::new(Index::new(rotation.components(), Kernel::detect()));
    let searcher = Searcher::start(1, 1).expect("threads");
    let mut stored = fill(&mut source, &rotation, &index, 500);
    let subject = Uuid::from_u128(2_000_000);
    let rival = Uuid::from_u128(2_000_001);
    for (similarity, of_rival, expected) in [
        (0.42, 0.39, Decision::Ambiguous),
        (0.44, 0.395, Decision::Ambiguous),
        (0.42, 0.36, Decision::Match(subject)),
        (0.46, 0.39, Decision::Match(subject)),
        (0.46, 0.43, Decision::Ambiguous),
        (0.60, 0.39, Decision::Match(subject)),
        (0.39, 0.38, Decision::Nobody),
        (0.39, 0.10, Decision::Nobody),
    ] {
        let values = source.draw();
        for (subject, similarity) in [(subject, similarity), (rival, of_rival)] {
            let values = source.draw_near(&values, similarity);
            let code = rotation.encode(&face(&values));
            index.put(subject, subject, &[GALLERY], &code);
            stored.push(Stored {
                subject,
                values,
                code,
            });
        }
        let probe = face(&values);
        let ranking = searcher
            .rank(&index, &rotation, &probe, DECIDER, Some(vec![GALLERY]))
            .await
            .expect("a ranking");
        let query = rotation.query(&probe, FLOOR);
        let exact = brute_force(&stored, LOWEST, |one| {
            query.similarity(Kernel::detect(), &one.code)
        });
        let of = format!("{similarity} and {of_rival}");
        assert_eq!(decide(&exact), expected, "{of}");
        assert_eq!(decide(&ranking), expected, "{of}");
        stored.truncate(500);
    }
}

#[test]
fn all_paths_find_the_same() {
    let mut source = Source::anisotropic(512);
    let rotation = Rotation::random(512, &mut rand::rng());
    let index_of = |kernel| Index::new(rotation.components(), kernel);
    let indexes: Vec<Index> = Kernel::runnable().into_iter().map(index_of).collect();
    let stored = fill(&mut source, &rotation, &indexes[0], 500);
    for (number, one) in stored.iter().enumerate() {
        let template = Uuid::from_u128(1_000_000 + number as u128);
        for index in &indexes[1..] {
            index.put(one.subject, template, &[GALLERY], &one.code);
        }
    }
    for one in &stored[..100] {
        let probe = face(&source.draw_near(&one.values, 0.5));
        let query = rotation.query(&probe, 0.2);
        let search = |index: &Index| index.search(&query, Scope::Everywhere);
        let portable = search(&indexes[0]);
        assert!(portable.best.is_some());
        assert!(indexes.iter().all(|index| search(index) == portable));
    }
}

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
