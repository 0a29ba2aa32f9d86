//! A face as a unit vector. Cannot be printed, serialised or sent; wiped when
//! dropped.

use zeroize::Zeroizing;

/// Why bytes are no face vector; says nothing of their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VectorError {
    #[error("does not have the model's dimension")]
    Length,
    #[error("has a component that is no finite number")]
    NotFinite,
    #[error("has no length")]
    Zero,
}

/// Unit length, finite.
///
/// ```compile_fail,E0277
/// # let vector = face_index::FaceVector::from_le_bytes(&[0, 0, 128, 63], 1).unwrap();
/// println!("{vector:?}");
/// ```
/// ```compile_fail,E0277
/// # let vector = face_index::FaceVector::from_le_bytes(&[0, 0, 128, 63], 1).unwrap();
/// println!("{vector}");
/// ```
/// ```compile_fail,E0277
/// fn sendable<T: serde::Serialize>(_: &T) {}
/// # let vector = face_index::FaceVector::from_le_bytes(&[0, 0, 128, 63], 1).unwrap();
/// sendable(&vector);
/// ```
#[derive(Clone)]
pub struct FaceVector(Zeroizing<Vec<f32>>);

impl FaceVector {
    /// From little-endian float32, four bytes a dimension; brought to unit length.
    pub fn from_le_bytes(bytes: &[u8], dimension: usize) -> Result<Self, VectorError> {
        if bytes.len() != dimension * 4 {
            return Err(VectorError::Length);
        }
        let mut values = Zeroizing::new(Vec::with_capacity(dimension));
        values.extend(
            bytes
                .chunks_exact(4)
                .map(|chunk| f32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]])),
        );
        if !values.iter().all(|value| value.is_finite()) {
            return Err(VectorError::NotFinite);
        }
        // In f64 the squares of any finite f32 neither overflow nor vanish.
        let norm = values
            .iter()
            .map(|value| f64::from(*value) * f64::from(*value))
            .sum::<f64>()
            .sqrt();
        if norm == 0.0 {
            return Err(VectorError::Zero);
        }
        for value in values.iter_mut() {
            *value = (f64::from(*value) / norm) as f32;
        }
        Ok(Self(values))
    }

    pub fn dimension(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.0
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
        for (values, error) in [
            (vec![0.0; 4], VectorError::Zero),
            (vec![1.0, f32::NAN, 0.0, 0.0], VectorError::NotFinite),
            (vec![f32::INFINITY, 0.0, 0.0, 0.0], VectorError::NotFinite),
            (vec![1.0; 3], VectorError::Length),
            (vec![1.0; 5], VectorError::Length),
        ] {
            let refused = FaceVector::from_le_bytes(&bytes(&values), 4).err();
            assert_eq!(refused, Some(error));
        }
    }

    proptest! {
        #[test]
        fn any_finite_vector_has_unit_length(values in prop::collection::vec(-1e30f32..1e30, 13)) {
            prop_assume!(values.iter().any(|v| *v != 0.0));
            let vector = FaceVector::from_le_bytes(&bytes(&values), 13).expect("a vector");
            let length: f64 = vector.values().iter().map(|v| f64::from(*v).powi(2)).sum();
            prop_assert!((length - 1.0).abs() < 1e-5);
        }
    }
}
