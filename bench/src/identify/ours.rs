//! The index in this process: decisions and figures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use face_index::{Code, FaceVector, Index, Kernel, Ranking, Rotation, Scope, Searcher};
use futures::{StreamExt, stream};
use ndarray::{Array2, ArrayView1};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{DECIDER, DIMENSION, exact::Outcome};
use crate::{
    error::{Error, other},
    report::rounded,
};

const GALLERY: Uuid = Uuid::from_u128(1);
/// Searches under way at once, where throughput is asked for.
const TOGETHER: usize = 32;

pub(crate) struct Gallery {
    rotation: Rotation,
    index: Arc<Index>,
    searcher: Searcher,
    size: usize,
}

fn face(row: ArrayView1<'_, f32>) -> Result<FaceVector, Error> {
    let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
    FaceVector::from_le_bytes(&bytes, DIMENSION).map_err(other)
}

fn subject(row: usize) -> Uuid {
    Uuid::from_u128(row as u128 + 1)
}

impl Gallery {
    pub(crate) fn fill(templates: &Array2<f32>) -> Result<Self, Error> {
        let rotation = Rotation::random(DIMENSION, &mut rand::rng());
        let index = Index::new(rotation.components(), Kernel::detect());
        index.reserve(templates.nrows());
        for (number, row) in templates.rows().into_iter().enumerate() {
            let code = rotation.encode(&face(row)?);
            index.put(subject(number), subject(number), &[GALLERY], &code);
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            rotation,
            index: Arc::new(index),
            searcher: Searcher::start(threads, 1_024)?,
            size: templates.nrows(),
        })
    }

    async fn rank(&self, probe: &FaceVector) -> Result<Ranking, Error> {
        let galleries = Some(vec![GALLERY]);
        self.searcher
            .rank(&self.index, &self.rotation, probe, DECIDER, galleries)
            .await
            .map_err(other)
    }

    /// What each probe comes to.
    pub(crate) async fn decide(&self, probes: &Array2<f32>) -> Result<Vec<Outcome>, Error> {
        let faces: Result<Vec<_>, Error> = probes.rows().into_iter().map(face).collect();
        let ranked = stream::iter(faces?)
            .map(|probe| async move { self.rank(&probe).await.map(outcome) })
            .buffered(TOGETHER);
        let outcomes: Vec<Result<Outcome, Error>> = ranked.collect().await;
        outcomes.into_iter().collect()
    }

    pub(crate) async fn time(&self, probes: &Array2<f32>, timed: usize) -> Result<Value, Error> {
        let faces: Result<Vec<_>, Error> =
            probes.rows().into_iter().take(timed).map(face).collect();
        let faces = faces?;
        let mut alone = self.one_thread(&faces);
        let (floor, mut quiet) = (self.floor(), self.one_at_a_time(&faces).await?);
        let started = Instant::now();
        let rounds = (20_000_000 / self.size.max(1)).clamp(TOGETHER, 2_000);
        let answered = stream::iter((0..rounds).map(|number| &faces[number % faces.len()]))
            .map(|probe| self.rank(probe))
            .buffer_unordered(TOGETHER)
            .filter(|found| std::future::ready(found.is_ok()))
            .count()
            .await;
        let together = started.elapsed().as_secs_f64() / answered.max(1) as f64;
        let mut busy = self.while_changing(&faces).await?;
        let p50_alone = quantile(&mut alone, 0.5);
        let (p50, p99) = (quantile(&mut quiet, 0.5), quantile(&mut quiet, 0.99));
        let busy_p99 = quantile(&mut busy, 0.99);
        let ms = |seconds: f64| json!(rounded(seconds * 1e3));
        Ok(json!({
            "p50_ms": ms(p50),
            "p99_ms": ms(p99),
            "p50_ms_one_thread": ms(p50_alone),
            "floor_ms": ms(floor),
            "p50_over_floor": rounded(p50 / floor),
            "p50_over_floor_one_thread": rounded(p50_alone / floor),
            "batch_ms_a_query": ms(together),
            "queries_per_second": rounded(1.0 / together),
            "batch_over_single": rounded(p50_alone / together),
            "busy_p99_ms": ms(busy_p99),
            "busy_p99_over_quiet": rounded(busy_p99 / p99),
            "kernel": format!("{:?}", self.index.kernel()),
        }))
    }

    fn one_thread(&self, faces: &[FaceVector]) -> Vec<f64> {
        let times = faces.iter().map(|probe| {
            let started = Instant::now();
            let query = self.rotation.query(probe, DECIDER.threshold);
            std::hint::black_box(self.index.search(&query, Scope::Galleries(&[GALLERY])));
            started.elapsed().as_secs_f64()
        });
        times.collect()
    }

    async fn one_at_a_time(&self, faces: &[FaceVector]) -> Result<Vec<f64>, Error> {
        let mut times = Vec::with_capacity(faces.len());
        for probe in faces {
            let started = Instant::now();
            std::hint::black_box(self.rank(probe).await?);
            times.push(started.elapsed().as_secs_f64());
        }
        Ok(times)
    }

    /// While another thread enrols and erases two hundred times a second.
    async fn while_changing(&self, faces: &[FaceVector]) -> Result<Vec<f64>, Error> {
        let done = Arc::new(AtomicBool::new(false));
        let codes: Vec<Code> = faces
            .iter()
            .map(|face| self.rotation.encode(face))
            .collect();
        let writer = std::thread::spawn({
            let (index, done) = (self.index.clone(), done.clone());
            move || {
                for (number, code) in codes.iter().cycle().enumerate() {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let passing = Uuid::from_u128(u128::MAX - (number as u128 % 64));
                    index.put(passing, passing, &[GALLERY], code);
                    std::thread::sleep(Duration::from_micros(2_500));
                    index.erase(passing);
                    std::thread::sleep(Duration::from_micros(2_500));
                }
            }
        });
        let times = self.one_at_a_time(faces).await;
        done.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| other("the writer failed"))?;
        times
    }

    /// Seconds to read as many bytes as the scan does, once, on one thread.
    fn floor(&self) -> f64 {
        let bytes = vec![1_u64; self.size * DIMENSION / 64];
        let mut times: Vec<f64> = (0..30)
            .map(|_| {
                let started = Instant::now();
                let sum = bytes
                    .iter()
                    .fold(0_u64, |sum, word| sum.wrapping_add(*word));
                std::hint::black_box(sum);
                started.elapsed().as_secs_f64()
            })
            .collect();
        quantile(&mut times, 0.5)
    }
}

fn outcome(ranking: Ranking) -> Outcome {
    let row = |subject: Uuid| subject.as_u128() as usize - 1;
    match (ranking.best, ranking.second) {
        (Some(best), Some(second)) if best.similarity - second.similarity < DECIDER.margin => {
            Outcome::Ambiguous
        }
        (Some(best), _) => Outcome::Match(row(best.subject)),
        (None, _) => Outcome::Nobody,
    }
}

fn quantile(times: &mut [f64], quantile: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let place = (times.len() as f64 * quantile) as usize;
    times
        .get(place.min(times.len() - 1))
        .copied()
        .unwrap_or(f64::NAN)
}
