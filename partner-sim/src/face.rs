//! Synthetic faces: an identity is a random direction, a probe of it a fresh
//! vector at a realistic angle. Genuine cosines are about 0.65 +- 0.1 and those
//! of strangers about 0 +- 1/sqrt(dimension), as with ArcFace-like embeddings.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, Normal, StandardNormal};

/// What a camera's quality gate lets through.
const LEAST_COSINE: f64 = 0.56;
const MOST_COSINE: f64 = 0.9;

/// A person, as far as a camera is concerned.
pub struct Identity {
    center: Vec<f64>,
}

impl Identity {
    /// The same seed is the same person.
    pub fn new(seed: u64, dimension: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        Self {
            center: unit(gaussian(&mut rng, dimension)),
        }
    }

    /// The picture taken for the enrolment: the identity itself.
    pub fn enrolment(&self) -> Vec<f32> {
        self.center.iter().map(|v| *v as f32).collect()
    }

    /// A fresh picture, never the same twice.
    pub fn probe(&self, rng: &mut impl Rng) -> Vec<f32> {
        let cosine: f64 = Normal::new(0.65, 0.1).map_or(0.65, |normal| normal.sample(rng));
        let cosine = cosine.clamp(LEAST_COSINE, MOST_COSINE);
        let noise = gaussian(rng, self.center.len());
        let along: f64 = noise.iter().zip(&self.center).map(|(a, b)| a * b).sum();
        let across = unit(
            noise
                .iter()
                .zip(&self.center)
                .map(|(a, b)| a - along * b)
                .collect(),
        );
        let sine = (1.0 - cosine * cosine).sqrt();
        self.center
            .iter()
            .zip(&across)
            .map(|(c, a)| (cosine * c + sine * a) as f32)
            .collect()
    }
}

/// base64url without padding of little-endian float32.
pub fn to_base64url(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
    URL_SAFE_NO_PAD.encode(bytes)
}

fn gaussian(rng: &mut impl Rng, dimension: usize) -> Vec<f64> {
    (0..dimension).map(|_| StandardNormal.sample(rng)).collect()
}

fn unit(mut vector: Vec<f64>) -> Vec<f64> {
    let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
    for value in &mut vector {
        *value /= norm;
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn probes_are_fresh_and_of_their_identity() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let person = Identity::new(7, 512);
        let stranger = Identity::new(8, 512).enrolment();
        let enrolled = person.enrolment();
        let probes: Vec<_> = (0..200).map(|_| person.probe(&mut rng)).collect();
        for probe in &probes {
            let genuine = cosine(probe, &enrolled);
            assert!((0.55..=0.91).contains(&genuine), "{genuine}");
            assert!((cosine(probe, probe) - 1.0).abs() < 1e-4);
            assert!(cosine(probe, &stranger).abs() < 0.3);
        }
        assert!(probes.windows(2).all(|pair| pair[0] != pair[1]));
        let mean = probes.iter().map(|p| cosine(p, &enrolled)).sum::<f32>() / 200.0;
        assert!((0.62..0.69).contains(&mean), "{mean}");
    }
}
