//! The search against brute force: over what is stored, and over the vectors
//! as they came.

mod serving;

use std::sync::Arc;

use face_index::{
    Code, Decider, FaceVector, Index, Kernel, Ranking, Rotation, Scope, Scored, Searcher,
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
        let at_margin = best.similarity >= FLOOR && (apart - MARGIN).abs() <= 0.002;
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
