//! The secret isometry that templates are stored under.

use nalgebra::DMatrix;
use rand::CryptoRng;
use rand_distr::{Distribution, StandardNormal};
use zeroize::Zeroizing;

use crate::{code::Code, kernel::Kernel, query::Query, vector::FaceVector};

/// Why bytes are no rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    #[error("the rotation is not of the model's dimension")]
    Length,
    #[error("the rotation is no isometry")]
    NotIsometric,
    #[error("the rotation was renewed as often as rounding allows: enrol again under a new one")]
    Exhausted,
}

/// A matrix of orthonormal columns, `components` by `dimension`, drawn from the
/// Haar measure. Wiped when dropped.
pub struct Rotation {
    dimension: usize,
    components: usize,
    renewals: u32,
    /// Row by row.
    matrix: Zeroizing<Vec<f32>>,
}

impl Rotation {
    /// Each renewal rounds every template once more, which moves a similarity
    /// by about 0.0003; after four, three deviations are 0.002.
    pub const MOST_RENEWALS: u32 = 4;

    /// Components of a code: a few dimensions are spread over more, so that
    /// signs tell enough and rounding little.
    pub fn components_of(dimension: usize) -> usize {
        dimension.next_multiple_of(64).max(512)
    }

    /// `dimension` is 128 to 1,024.
    pub fn random(dimension: usize, random: &mut dyn CryptoRng) -> Self {
        let components = Self::components_of(dimension);
        Self {
            dimension,
            components,
            renewals: 0,
            matrix: orthonormal_columns(components, dimension, random),
        }
    }

    pub fn dimension(&self) -> usize {
        self.dimension
    }

    pub fn components(&self) -> usize {
        self.components
    }

    /// How often it was composed with another.
    pub fn renewals(&self) -> u32 {
        self.renewals
    }

    /// Little-endian float32, row by row.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.matrix.len() * 4));
        for value in self.matrix.iter() {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// The reverse of [`Rotation::to_bytes`].
    pub fn from_bytes(
        bytes: &[u8],
        dimension: usize,
        renewals: u32,
    ) -> Result<Self, RotationError> {
        let components = Self::components_of(dimension);
        if bytes.len() != components * dimension * 4 {
            return Err(RotationError::Length);
        }
        let mut matrix = Zeroizing::new(Vec::with_capacity(components * dimension));
        matrix.extend(
            bytes
                .chunks_exact(4)
                .map(|chunk| f32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]])),
        );
        let rotation = Self {
            dimension,
            components,
            renewals,
            matrix,
        };
        // A few columns tell a damaged matrix; all of them would cost a second.
        for column in [0, dimension / 2, dimension - 1] {
            let square: f32 = rotation
                .matrix
                .chunks_exact(dimension)
                .map(|row| row[column] * row[column])
                .sum();
            if !square.is_finite() || (square - 1.0).abs() > 1e-3 {
                return Err(RotationError::NotIsometric);
            }
        }
        Ok(rotation)
    }

    /// The template as it is kept.
    pub fn encode(&self, vector: &FaceVector) -> Code {
        Code::of(&self.rotate(vector))
    }

    /// A search for the vector, of everything at or above `floor` (cosine, 0
    /// to 1).
    pub fn query(&self, vector: &FaceVector, floor: f32) -> Query {
        Query::new(&self.rotate(vector), floor)
    }

    /// Another rotation for the same templates: itself after a second one.
    pub fn renewed(&self, random: &mut dyn CryptoRng) -> Result<Self, RotationError> {
        if self.renewals >= Self::MOST_RENEWALS {
            return Err(RotationError::Exhausted);
        }
        let second = orthonormal_columns(self.components, self.components, random);
        let product = matrix(&second, self.components) * matrix(&self.matrix, self.dimension);
        Ok(Self {
            dimension: self.dimension,
            components: self.components,
            renewals: self.renewals + 1,
            matrix: rows(&product),
        })
    }

    fn rotate(&self, vector: &FaceVector) -> Zeroizing<Vec<f32>> {
        let mut rotated = Zeroizing::new(vec![0.0; self.components]);
        Kernel::detect().multiply(&self.matrix, vector.values(), &mut rotated);
        rotated
    }
}

/// Takes codes of one rotation to codes of another of the same dimension.
pub struct Renewal(Zeroizing<Vec<f32>>);

impl Renewal {
    /// None where the two are not of one dimension.
    pub fn between(old: &Rotation, new: &Rotation) -> Option<Self> {
        if old.dimension != new.dimension {
            return None;
        }
        let back = matrix(&old.matrix, old.dimension).transpose();
        Some(Self(rows(&(matrix(&new.matrix, new.dimension) * back))))
    }

    pub fn apply(&self, code: &Code) -> Code {
        let old: Zeroizing<Vec<f32>> =
            Zeroizing::new(code.components().iter().map(|c| f32::from(*c)).collect());
        let mut new = Zeroizing::new(vec![0.0; old.len()]);
        Kernel::detect().multiply(&self.0, &old, &mut new);
        Code::of(&new)
    }
}

/// The first columns of a Haar-distributed orthogonal matrix: QR of a Gaussian
/// one, signs fixed by R's diagonal (Mezzadri, 2007).
fn orthonormal_columns(
    height: usize,
    width: usize,
    random: &mut dyn CryptoRng,
) -> Zeroizing<Vec<f32>> {
    let gaussian = DMatrix::<f64>::from_fn(height, width, |_, _| StandardNormal.sample(random));
    let decomposed = gaussian.qr();
    let (mut q, r) = (decomposed.q(), decomposed.r());
    for (mut column, diagonal) in q.column_iter_mut().zip(r.diagonal().iter()) {
        if *diagonal < 0.0 {
            column.neg_mut();
        }
    }
    rows(&q)
}

fn rows(of: &DMatrix<f64>) -> Zeroizing<Vec<f32>> {
    let mut rows = Zeroizing::new(Vec::with_capacity(of.len()));
    for row in of.row_iter() {
        rows.extend(row.iter().map(|value| *value as f32));
    }
    rows
}

fn matrix(rows: &[f32], width: usize) -> DMatrix<f64> {
    DMatrix::from_row_iterator(
        rows.len() / width,
        width,
        rows.iter().map(|value| f64::from(*value)),
    )
}
