//! A face's vector from a file: a JSON array of numbers, or NumPy's `.npy` of
//! one dimension in float32 or float64.

use std::{fs, path::Path};

use ndarray::ArrayView1;
use ndarray_npy::{ViewElement, ViewNpyError, ViewNpyExt};
use zeroize::Zeroizing;

use crate::error::Failure;

const NPY_MAGIC: &[u8] = b"\x93NUMPY";
/// Far above any model's vector in either form.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Little-endian float32, as the contract wants it.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let fault = |detail: String| Failure::Usage(format!("{}: {detail}", path.display()));
    let size = fs::metadata(path)
        .map_err(|error| fault(error.to_string()))?
        .len();
    if size > LARGEST_FILE {
        return Err(fault(format!("{size} bytes are too many for one vector")));
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(|error| fault(error.to_string()))?);
    let values = if bytes.starts_with(NPY_MAGIC) {
        from_npy(&bytes)
    } else {
        from_json(&bytes)
    }
    .map_err(fault)?;
    to_bytes(&values).map_err(fault)
}

/// What is no vector is refused.
pub(crate) fn to_bytes(values: &[f32]) -> Result<Zeroizing<Vec<u8>>, String> {
    check(values)?;
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    Ok(Zeroizing::new(bytes.collect()))
}

/// Faults name a place, never a value: a vector is nobody's to see.
fn from_json(bytes: &[u8]) -> Result<Zeroizing<Vec<f32>>, String> {
    let values: Zeroizing<Vec<f64>> =
        Zeroizing::new(serde_json::from_slice(bytes).map_err(|error| {
            format!(
                "not a JSON array of finite numbers (line {}, column {})",
                error.line(),
                error.column()
            )
        })?);
    Ok(narrowed(values.iter()))
}

fn from_npy(bytes: &[u8]) -> Result<Zeroizing<Vec<f32>>, String> {
    if let Some(values) = view::<f32>(bytes)? {
        return Ok(Zeroizing::new(values.iter().copied().collect()));
    }
    if let Some(values) = view::<f64>(bytes)? {
        return Ok(narrowed(values.iter()));
    }
    Err("the .npy array is neither float32 nor float64".into())
}

/// None where the elements are of another type.
fn view<T: ViewElement>(bytes: &[u8]) -> Result<Option<ArrayView1<'_, T>>, String> {
    match ArrayView1::<T>::view_npy(bytes) {
        Ok(values) => Ok(Some(values)),
        Err(ViewNpyError::WrongDescriptor(_)) => Ok(None),
        Err(ViewNpyError::WrongNdim(_, found)) => Err(format!(
            "the .npy array has {found} dimensions in place of one"
        )),
        Err(ViewNpyError::NonNativeEndian) => {
            Err("the .npy array is big-endian; save it little-endian".into())
        }
        Err(error) => Err(format!("not a whole .npy file: {error}")),
    }
}

/// What exceeds float32 becomes infinite here and is refused by [`check`].
fn narrowed<'a>(values: impl Iterator<Item = &'a f64>) -> Zeroizing<Vec<f32>> {
    Zeroizing::new(values.map(|value| *value as f32).collect())
}

fn check(values: &[f32]) -> Result<(), String> {
    if values.is_empty() {
        return Err("the vector is empty".into());
    }
    if let Some(position) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!(
            "component {position} is not a finite float32 (NaN or infinite)"
        ));
    }
    if values.iter().all(|value| *value == 0.0) {
        return Err("the vector is all zeros".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, array};
    use ndarray_npy::{WritableElement, WriteNpyExt};

    use super::*;

    fn read_bytes(bytes: &[u8]) -> Result<Vec<f32>, String> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("vector");
        fs::write(&path, bytes).expect("written");
        match read(&path) {
            Ok(values) => Ok(values
                .chunks_exact(4)
                .map(|chunk| f32::from_le_bytes(chunk.try_into().expect("four bytes")))
                .collect()),
            Err(failure) => Err(failure.lines()[0].clone()),
        }
    }

    fn npy<T: WritableElement>(values: Vec<T>) -> Vec<u8> {
        let mut bytes = Vec::new();
        Array1::from_vec(values)
            .write_npy(&mut bytes)
            .expect("written");
        bytes
    }

    #[test]
    fn json_is_read() {
        assert_eq!(
            read_bytes(b" [0.5, -1, 2e-3]\n"),
            Ok(vec![0.5, -1.0, 0.002])
        );
    }

    #[test]
    fn npy_of_both_widths_is_read() {
        assert_eq!(read_bytes(&npy(vec![0.5_f32, -1.0])), Ok(vec![0.5, -1.0]));
        assert_eq!(
            read_bytes(&npy(vec![0.1_f64, -1.0, 3.0])),
            Ok(vec![0.1, -1.0, 3.0])
        );
    }

    #[test]
    fn wrong_shapes_and_types_are_named() {
        let mut matrix = Vec::new();
        let values: Array2<f32> = array![[1.0, 2.0], [3.0, 4.0]];
        values.write_npy(&mut matrix).expect("written");
        for (bytes, word) in [
            (matrix, "2 dimensions"),
            (npy(vec![1_i32, 2]), "neither float32 nor float64"),
            (npy(vec![1.0_f32, 2.0])[..70].to_vec(), "not a whole .npy"),
            (npy(Vec::<f32>::new()), "empty"),
            (b"[]".to_vec(), "empty"),
            (b"[[1.0]]".to_vec(), "JSON array"),
            (b"{\"values\": [1.0]}".to_vec(), "JSON array"),
            (b"[1.0, \"marked\"]".to_vec(), "JSON array"),
            (b"[1.0, 2.0".to_vec(), "JSON array"),
            (b"".to_vec(), "JSON array"),
            (b"\xff\xfe".to_vec(), "JSON array"),
        ] {
            let fault = read_bytes(&bytes).expect_err(word);
            assert!(fault.contains(word), "{fault}");
            assert!(!fault.contains("marked"), "{fault}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for (bytes, word) in [
            (npy(vec![1.0_f32, f32::NAN]), "component 1 "),
            (npy(vec![f64::INFINITY, 1.0]), "component 0 "),
            (npy(vec![1e300_f64]), "component 0 "),
            (b"[1.0, 1e300]".to_vec(), "component 1 "),
            (b"[1.0, NaN]".to_vec(), "finite numbers"),
            (b"[1e999]".to_vec(), "finite numbers"),
            (b"[0.0, 0]".to_vec(), "all zeros"),
        ] {
            let fault = read_bytes(&bytes).expect_err(word);
            assert!(fault.contains(word), "{fault}");
        }
    }

    #[test]
    fn a_missing_or_huge_file_is_named() {
        let fault = read(Path::new("/nonexistent/face.json")).expect_err("no file");
        assert!(fault.lines()[0].contains("/nonexistent/face.json"));
        assert!(
            read_bytes(&vec![b' '; 2 * 1024 * 1024])
                .expect_err("huge")
                .contains("too many")
        );
    }
}
