//! The inner loops, chosen once by what the processor can do. Every path gives
//! the same integers.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

/// Templates in a block, scanned together.
pub(crate) const LANES: usize = 32;

/// Bytes of a cache line: what is read from memory at once.
pub(crate) const LINE: usize = 64;

/// A cache line, aligned as one: a load never straddles two.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Line(pub(crate) [u8; LINE]);

impl Line {
    pub(crate) const ZERO: Self = Self([0; LINE]);
}

/// A template of a scan whose estimate reached its block's cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Counted from the first block's first.
    pub(crate) lane: u32,
    /// Sum of the table's entries.
    pub(crate) sum: u16,
}

/// A dot product with a code, and the code's own square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dot {
    pub(crate) with_query: i32,
    pub(crate) squared: i32,
}

/// A path through the inner loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Whatever the processor.
    Portable,
    /// x86-64 with AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Kernel {
    /// The best one that this processor runs.
    pub fn detect() -> Self {
        Self::runnable().last().copied().unwrap_or(Self::Portable)
    }

    /// Every one that this processor runs, the best last.
    pub fn runnable() -> Vec<Self> {
        let mut kernels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") {
                kernels.push(Self::Avx2);
            }
        }
        kernels
    }

    /// Adds to `hits` every lane whose sum reaches its block's cut.
    ///
    /// `signs` holds a block for each cut, a block being a line for each two
    /// planes: byte `i` of plane `p` holds the signs of components `8 p` to
    /// `8 p + 7` of template `i`. `table` has two lines for each of those: the
    /// sixteen entries of the low four signs of both planes, each twice, then
    /// those of the high four; none above 63.
    pub(crate) fn scan(self, signs: &[Line], table: &[Line], cuts: &[u16], hits: &mut Vec<Hit>) {
        assert!(table.len().is_multiple_of(4));
        assert!(signs.len() >= cuts.len() * table.len() / 2);
        match self {
            Self::Portable => portable::scan(signs, table, cuts, hits),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::scan(signs, table, cuts, hits),
        }
    }

    /// `query` has 14 bits and a sign a component, so that no sum of up to
    /// 1,024 overflows; the length is a multiple of 16.
    pub(crate) fn dot(self, query: &[i16], code: &[i8]) -> Dot {
        assert!(query.len() == code.len() && query.len().is_multiple_of(16));
        match self {
            Self::Portable => portable::dot(query, code),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::dot(query, code),
        }
    }

    /// `matrix` (rows of `vector.len()`) times `vector`, into `out`.
    pub(crate) fn multiply(self, matrix: &[f32], vector: &[f32], out: &mut [f32]) {
        assert!(matrix.len() == vector.len() * out.len());
        match self {
            Self::Portable => portable::multiply(matrix, vector, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::multiply(matrix, vector, out),
        }
    }
}

/// The lanes of a block that reach its cut; sums of even lanes, then of odd.
#[cfg(target_arch = "x86_64")]
fn collect(sums: &[[u16; LANES / 2]; 2], block: usize, cut: u16, hits: &mut Vec<Hit>) {
    for lane in 0..LANES {
        let sum = sums[lane % 2][lane / 2];
        if sum >= cut {
            hits.push(Hit {
                lane: (block * LANES + lane) as u32,
                sum,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_paths_scan_alike(
            seed: [u8; 32],
            lines in (1usize..=32).prop_map(|twos| twos * 2),
            cuts in prop::collection::vec(0u16..16_200, 1..5),
        ) {
            use rand::{RngExt, SeedableRng};
            let mut random = rand_chacha::ChaCha8Rng::from_seed(seed);
            let mut signs = vec![Line::ZERO; cuts.len() * lines];
            signs.iter_mut().for_each(|line| random.fill(&mut line.0));
            let mut table = vec![Line::ZERO; lines * 2];
            for row in table.iter_mut().flat_map(|line| line.0.chunks_exact_mut(LANES)) {
                row.fill_with(|| random.random_range(0..64));
                row.copy_within(..16, 16);
            }
            let mut expected = Vec::new();
            for (block, cut) in cuts.iter().enumerate() {
                for lane in 0..LANES {
                    let sum: u16 = (0..lines * 2)
                        .map(|plane| {
                            let half = plane % 2 * LANES;
                            let byte = signs[block * lines + plane / 2].0[half + lane];
                            let entries = &table[plane / 2 * 2..];
                            u16::from(entries[0].0[half + usize::from(byte & 15)])
                                + u16::from(entries[1].0[half + usize::from(byte >> 4)])
                        })
                        .sum();
                    if sum >= *cut {
                        expected.push(Hit { lane: (block * LANES + lane) as u32, sum });
                    }
                }
            }
            for kernel in Kernel::runnable() {
                let mut hits = Vec::new();
                kernel.scan(&signs, &table, &cuts, &mut hits);
                prop_assert_eq!(&hits, &expected);
            }
        }

        #[test]
        fn all_paths_multiply_alike(
            pairs in prop::collection::vec((-16_383i16..=16_383, -127i8..=127), 64)
        ) {
            let (query, code): (Vec<i16>, Vec<i8>) = pairs.iter().copied().unzip();
            let with_query = pairs.iter().map(|(q, c)| i32::from(*q) * i32::from(*c)).sum();
            let squared = code.iter().map(|c| i32::from(*c) * i32::from(*c)).sum();
            for kernel in Kernel::runnable() {
                prop_assert_eq!(kernel.dot(&query, &code), Dot { with_query, squared });
            }
            let matrix: Vec<f32> = pairs.iter().map(|(q, _)| f32::from(*q) / 16_383.0).collect();
            let vector: Vec<f32> = code[..16].iter().map(|c| f32::from(*c) / 127.0).collect();
            for kernel in Kernel::runnable() {
                let mut out = [0.0; 4];
                kernel.multiply(&matrix, &vector, &mut out);
                for (row, value) in matrix.chunks_exact(16).zip(out) {
                    let exact: f32 = row.iter().zip(&vector).map(|(a, b)| a * b).sum();
                    prop_assert!((exact - value).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn the_longest_code_does_not_overflow() {
        let (query, code) = (vec![16_383i16; 1_024], vec![127i8; 1_024]);
        for kernel in Kernel::runnable() {
            assert_eq!(kernel.dot(&query, &code).with_query, 16_383 * 127 * 1_024);
        }
    }
}
