//! A face as a unit vector. Cannot be printed, serialised or sent; wiped when
//! dropped.

use zeroize::Zeroizing;

use crate::error::Error;

/// Unit length, finite.
#[derive(Clone)]
pub(crate) struct FaceVector(Zeroizing<Vec<f32>>);

impl FaceVector {
    /// From little-endian float32, four bytes a dimension; brought to unit length.
    pub(crate) fn from_le_bytes(bytes: &[u8], dimension: usize) -> Result<Self, Error> {
        if bytes.len() != dimension * 4 {
            return Err(Error::InvalidVector("does not have the model's dimension"));
        }
        let mut values = Zeroizing::new(Vec::with_capacity(dimension));
        values.extend(
            bytes
                .chunks_exact(4)
                .map(|chunk| f32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]])),
        );
        if !values.iter().all(|value| value.is_finite()) {
            return Err(Error::InvalidVector(
                "has a component that is no finite number",
            ));
        }
        // In f64 the squares of any finite f32 neither overflow nor vanish.
        let norm = values
            .iter()
            .map(|value| f64::from(*value) * f64::from(*value))
            .sum::<f64>()
            .sqrt();
        if norm == 0.0 {
            return Err(Error::InvalidVector("has no length"));
        }
        for value in values.iter_mut() {
            *value = (f64::from(*value) / norm) as f32;
        }
        Ok(Self(values))
    }

    pub(crate) fn to_le_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.0.len() * 4));
        for value in self.0.iter() {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// Cosine similarity, -1 to 1.
    pub(crate) fn similarity(&self, other: &Self) -> f32 {
        // Eight sums, for the compiler to keep in one register.
        let mut sums = [0.0_f32; 8];
        let (left, right) = (self.0.chunks_exact(8), other.0.chunks_exact(8));
        let rest: f32 = left
            .remainder()
            .iter()
            .zip(right.remainder())
            .map(|(a, b)| a * b)
            .sum();
        for (a, b) in left.zip(right) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                *sum += a * b;
            }
        }
        sums.iter().sum::<f32>() + rest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn what_is_no_face_is_refused() {
        for values in [
            vec![0.0; 4],
            vec![1.0, f32::NAN, 0.0, 0.0],
            vec![f32::INFINITY, 0.0, 0.0, 0.0],
            vec![1.0; 3],
            vec![1.0; 5],
        ] {
            assert!(matches!(
                FaceVector::from_le_bytes(&bytes(&values), 4),
                Err(Error::InvalidVector(_))
            ));
        }
    }

    proptest! {
        #[test]
        fn any_finite_vector_has_unit_length(values in prop::collection::vec(-1e30f32..1e30, 13)) {
            prop_assume!(values.iter().any(|v| *v != 0.0));
            let vector = FaceVector::from_le_bytes(&bytes(&values), 13).expect("a vector");
            prop_assert!((vector.similarity(&vector) - 1.0).abs() < 1e-5);
        }
    }
}
