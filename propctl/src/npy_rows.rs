//! Vectors from NumPy's `.npy` of two dimensions, one row at a time: a file of many faces need
//! not fit into memory.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{error::Failure, vector_file};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Far above what NumPy writes.
const LONGEST_HEADER: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    F32,
    F64,
}

impl Element {
    fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Shape {
    element: Element,
    rows: usize,
    columns: usize,
}

pub(crate) struct NpyRows {
    path: PathBuf,
    file: BufReader<File>,
    /// Where the first row begins.
    begin: u64,
    shape: Shape,
}

impl NpyRows {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let fault = |detail: String| Failure::Usage(format!("{}: {detail}", path.display()));
        let file = File::open(path).map_err(|error| fault(error.to_string()))?;
        let size = file
            .metadata()
            .map_err(|error| fault(error.to_string()))?
            .len();
        let mut file = BufReader::new(file);
        let (begin, shape) = header(&mut file).map_err(fault)?;
        let values = shape.rows.checked_mul(shape.columns);
        let bytes = values.and_then(|values| values.checked_mul(shape.element.size()));
        let whole = bytes.and_then(|bytes| begin.checked_add(u64::try_from(bytes).ok()?));
        if whole != Some(size) {
            return Err(fault("not a whole .npy file".into()));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            begin,
            shape,
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.shape.rows
    }

    /// The row as the contract wants a vector, or what is wrong with it.
    pub(crate) fn read(&mut self, row: usize) -> Result<Result<Vector, String>, Failure> {
        let length = self.shape.columns * self.shape.element.size();
        let mut bytes = Zeroizing::new(vec![0; length]);
        let offset = u64::try_from(row)
            .ok()
            .and_then(|row| row.checked_mul(u64::try_from(length).ok()?))
            .and_then(|offset| self.begin.checked_add(offset));
        let read = match offset {
            Some(offset) => self
                .seek(offset)
                .and_then(|()| self.file.read_exact(&mut bytes)),
            None => Err(std::io::ErrorKind::InvalidInput.into()),
        };
        read.map_err(|error| Failure::Usage(format!("{}: {error}", self.path.display())))?;
        let values: Zeroizing<Vec<f32>> = Zeroizing::new(match self.shape.element {
            Element::F32 => in_fours(&bytes).map(f32::from_le_bytes).collect(),
            Element::F64 => in_eights(&bytes)
                .map(|eight| f64::from_le_bytes(eight) as f32)
                .collect(),
        });
        Ok(vector_file::to_bytes(&values))
    }

    /// Rows are read in their order: what is buffered is not thrown away.
    fn seek(&mut self, offset: u64) -> std::io::Result<()> {
        let at = self.file.stream_position()?;
        match i64::try_from(offset).ok().zip(i64::try_from(at).ok()) {
            Some((offset, at)) => self.file.seek_relative(offset - at),
            None => self.file.seek(SeekFrom::Start(offset)).map(drop),
        }
    }
}

type Vector = Zeroizing<Vec<u8>>;

fn in_fours(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    bytes
        .chunks_exact(4)
        .filter_map(|four| four.try_into().ok())
}

fn in_eights(bytes: &[u8]) -> impl Iterator<Item = [u8; 8]> + '_ {
    bytes
        .chunks_exact(8)
        .filter_map(|eight| eight.try_into().ok())
}

/// <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>
fn header(file: &mut impl Read) -> Result<(u64, Shape), String> {
    let broken = |_| "not a whole .npy file".to_owned();
    let mut start = [0; 8];
    file.read_exact(&mut start).map_err(broken)?;
    if !start.starts_with(MAGIC) {
        return Err("no .npy file".into());
    }
    let (length, before) = if start[6] == 1 {
        let mut length = [0; 2];
        file.read_exact(&mut length).map_err(broken)?;
        (usize::from(u16::from_le_bytes(length)), 10)
    } else {
        let mut length = [0; 4];
        file.read_exact(&mut length).map_err(broken)?;
        let length = usize::try_from(u32::from_le_bytes(length));
        (length.unwrap_or(usize::MAX), 12)
    };
    if length > LONGEST_HEADER {
        return Err("the .npy file's header is too long".into());
    }
    let mut text = vec![0; length];
    file.read_exact(&mut text).map_err(broken)?;
    let text = String::from_utf8_lossy(&text);
    Ok((before + length as u64, shape(&text)?))
}

/// Of a header such as `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 512), }`.
fn shape(header: &str) -> Result<Shape, String> {
    let after = |key: &str| {
        let (_, rest) = header.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    };
    let unreadable = || "the .npy file's header cannot be read".to_owned();
    let element = match after("descr").ok_or_else(unreadable)? {
        text if text.starts_with("'<f4'") => Element::F32,
        text if text.starts_with("'<f8'") => Element::F64,
        _ => return Err("the .npy array is neither float32 nor float64, little-endian".into()),
    };
    if !after("fortran_order")
        .ok_or_else(unreadable)?
        .starts_with("False")
    {
        return Err("the .npy array is in Fortran order; save it in C order".into());
    }
    let sizes = after("shape").and_then(|text| text.strip_prefix('('));
    let (sizes, _) = sizes
        .and_then(|text| text.split_once(')'))
        .ok_or_else(unreadable)?;
    let sizes: Vec<usize> = sizes
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| unreadable())?;
    match sizes[..] {
        [rows, columns] => Ok(Shape {
            element,
            rows,
            columns,
        }),
        _ => Err(format!(
            "the .npy array has {} dimensions in place of two",
            sizes.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, ShapeBuilder, array};
    use ndarray_npy::{WritableElement, WriteNpyExt};

    use super::*;

    fn open(bytes: &[u8]) -> Result<(tempfile::TempDir, NpyRows), String> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("faces.npy");
        std::fs::write(&path, bytes).expect("written");
        match NpyRows::open(&path) {
            Ok(rows) => Ok((dir, rows)),
            Err(failure) => Err(failure.lines()[0].clone()),
        }
    }

    fn npy<T: WritableElement>(values: &Array2<T>) -> Vec<u8> {
        let mut bytes = Vec::new();
        values.write_npy(&mut bytes).expect("written");
        bytes
    }

    fn values(rows: &mut NpyRows, row: usize) -> Vec<f32> {
        let bytes = rows.read(row).expect("read").expect("a vector");
        in_fours(&bytes).map(f32::from_le_bytes).collect()
    }

    #[test]
    fn rows_of_both_widths_are_read_in_any_order() {
        let single: Array2<f32> = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let (_dir, mut rows) = open(&npy(&single)).expect("open");
        assert_eq!(rows.rows(), 2);
        assert_eq!(values(&mut rows, 1), [4.0, 5.0, 6.0]);
        assert_eq!(values(&mut rows, 0), [1.0, 2.0, 3.0]);
        let double: Array2<f64> = array![[0.5, -1.0]];
        let (_dir, mut rows) = open(&npy(&double)).expect("open");
        assert_eq!(values(&mut rows, 0), [0.5, -1.0]);
    }

    #[test]
    fn a_row_that_is_no_vector_is_told_and_the_others_are_read() {
        let some: Array2<f32> = array![[f32::NAN, 1.0], [0.0, 0.0], [1.0, 2.0]];
        let (_dir, mut rows) = open(&npy(&some)).expect("open");
        assert!(rows.read(0).expect("read").is_err());
        assert!(rows.read(1).expect("read").is_err());
        assert_eq!(values(&mut rows, 2), [1.0, 2.0]);
    }

    #[test]
    fn other_files_are_refused() {
        let whole: Array2<f32> = array![[1.0, 2.0], [3.0, 4.0]];
        let whole = npy(&whole);
        let mut flat = Vec::new();
        let one = Array1::from_vec(vec![1.0_f32, 2.0]);
        one.write_npy(&mut flat).expect("written");
        let fortran = Array2::<f32>::ones((2, 3).f());
        let numbers: Array2<i32> = array![[1, 2]];
        for (bytes, word) in [
            (whole[..whole.len() - 1].to_vec(), "not a whole"),
            (flat, "1 dimensions"),
            (npy(&fortran), "Fortran"),
            (npy(&numbers), "neither float32"),
            (b"resident,vector\n".to_vec(), "no .npy"),
            (Vec::new(), "not a whole"),
        ] {
            let fault = open(&bytes).err().expect(word);
            assert!(fault.contains(word), "{fault}");
        }
    }
}
