//! Synthetic faces: identities nearly equidistant, genuine probes about 0.65
//! from their template, impostors from nobody.

use ndarray::{Array1, Array2, ArrayView1, Axis};
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use rand_distr::{Distribution, Normal, StandardNormal};

use super::{DECIDER, DIMENSION};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All directions alike.
    Isotropic,
    /// A few components carry nearly everything.
    Anisotropic,
}

impl Shape {
    fn draw(self, random: &mut SmallRng) -> Array1<f32> {
        let draw = |component: usize| {
            let value: f32 = StandardNormal.sample(random);
            match self {
                Self::Isotropic => value,
                Self::Anisotropic => {
                    let middle = if component.is_multiple_of(16) {
                        0.1
                    } else {
                        0.0
                    };
                    value / (1.0 + component as f32 / 64.0) + middle
                }
            }
        };
        unit(Array1::from_iter((0..DIMENSION).map(draw)))
    }
}

fn unit(mut vector: Array1<f32>) -> Array1<f32> {
    let length = vector.dot(&vector).sqrt();
    vector.mapv_inplace(|value| value / length);
    vector
}

/// Unit rows, one a template.
pub(crate) fn templates(shape: Shape, count: usize) -> Array2<f32> {
    let mut templates = Array2::zeros((count, DIMENSION));
    std::thread::scope(|scope| {
        let part = count.div_ceil(2).max(1);
        for (seed, mut rows) in (1..).zip(templates.axis_chunks_iter_mut(Axis(0), part)) {
            scope.spawn(move || {
                let mut random = SmallRng::seed_from_u64(seed);
                for mut row in rows.rows_mut() {
                    row.assign(&shape.draw(&mut random));
                }
            });
        }
    });
    templates
}

/// Unit rows: of four one is genuine, one near the threshold, two of nobody.
pub(crate) fn probes(shape: Shape, templates: &Array2<f32>, count: usize) -> Array2<f32> {
    let mut random = SmallRng::seed_from_u64(99);
    let genuine = Normal::new(0.65_f32, 0.1).map_or(0.65, |normal| normal.sample(&mut random));
    let mut probes = Array2::zeros((count, DIMENSION));
    for (number, mut row) in probes.rows_mut().into_iter().enumerate() {
        let similarity = match number % 4 {
            0 => {
                let spread: f32 = StandardNormal.sample(&mut random);
                Some((genuine.clamp(0.6, 0.7) + 0.1 * spread).clamp(0.3, 0.95))
            }
            2 => Some(DECIDER.threshold + random.random_range(-0.03..0.03)),
            _ => None,
        };
        row.assign(&match similarity {
            Some(similarity) => {
                let about = random.next_u64() as usize % templates.nrows();
                near(shape, &mut random, templates.row(about), similarity)
            }
            None => shape.draw(&mut random),
        });
    }
    probes
}

/// At exactly that similarity to the vector.
fn near(
    shape: Shape,
    random: &mut SmallRng,
    vector: ArrayView1<'_, f32>,
    similarity: f32,
) -> Array1<f32> {
    let other = shape.draw(random);
    let along = other.dot(&vector);
    let across = unit(&other - &(&vector * along));
    unit(&vector * similarity + across * (1.0 - similarity * similarity).sqrt())
}
