//! Reached through [`super::Kernel`] alone, which has looked that the
//! processor has the features, and that the slices have the lengths.
#![allow(
    unsafe_code,
    reason = "vector loads are by pointer, and features are checked by the caller"
)]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_add_epi8, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi16, _mm256_cvtepi8_epi16,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_max_epu16, _mm256_movemask_epi8, _mm256_or_si256,
    _mm256_set1_epi8, _mm256_set1_epi16, _mm256_setzero_si256, _mm256_shuffle_epi8,
    _mm256_slli_epi16, _mm256_srli_epi16, _mm256_storeu_si256, _mm256_sub_epi16,
};

use super::{Dot, Hit, LANES, portable};

pub(super) fn scan(signs: &[u8], planes: usize, table: &[u8], cuts: &[u16], hits: &mut Vec<Hit>) {
    // SAFETY: as the module says.
    unsafe { scan_blocks(signs, planes, table, cuts, hits) }
}

pub(super) fn dot(query: &[i16], code: &[i8]) -> Dot {
    // SAFETY: as the module says.
    unsafe { dot_lanes(query, code) }
}

pub(super) fn multiply(matrix: &[f32], vector: &[f32], out: &mut [f32]) {
    #[target_feature(enable = "avx2,fma")]
    fn with_features(matrix: &[f32], vector: &[f32], out: &mut [f32]) {
        portable::multiply(matrix, vector, out);
    }
    // SAFETY: as the module says.
    unsafe { with_features(matrix, vector, out) }
}

#[target_feature(enable = "avx2")]
unsafe fn scan_blocks(
    signs: &[u8],
    planes: usize,
    table: &[u8],
    cuts: &[u16],
    hits: &mut Vec<Hit>,
) {
    let low = _mm256_set1_epi8(0x0f);
    for (block, cut) in cuts.iter().enumerate() {
        // SAFETY: `signs` holds planes * LANES bytes for each cut.
        let bytes = unsafe { signs.as_ptr().add(block * planes * LANES) };
        let (mut even, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for plane in (0..planes).step_by(2) {
            // SAFETY: two planes of the block, and the four table rows of 16
            // bytes that belong to them.
            let (first, second, a, b, c, d) = unsafe {
                let bytes = bytes.add(plane * LANES).cast::<__m256i>();
                let rows = table.as_ptr().add(plane * 32).cast::<__m128i>();
                let row = |i| _mm256_broadcastsi128_si256(_mm_loadu_si128(rows.add(i)));
                (
                    _mm256_loadu_si256(bytes),
                    _mm256_loadu_si256(bytes.add(1)),
                    row(0),
                    row(1),
                    row(2),
                    row(3),
                )
            };
            let high = |signs| _mm256_and_si256(_mm256_srli_epi16::<4>(signs), low);
            // Four entries of at most 63 fit a byte.
            let sum = _mm256_add_epi8(
                _mm256_add_epi8(
                    _mm256_shuffle_epi8(a, _mm256_and_si256(first, low)),
                    _mm256_shuffle_epi8(b, high(first)),
                ),
                _mm256_add_epi8(
                    _mm256_shuffle_epi8(c, _mm256_and_si256(second, low)),
                    _mm256_shuffle_epi8(d, high(second)),
                ),
            );
            // Read as 16 bits, a pair of bytes is even + 256 odd.
            even = _mm256_add_epi16(even, sum);
            odd = _mm256_add_epi16(odd, _mm256_srli_epi16::<8>(sum));
        }
        even = _mm256_sub_epi16(even, _mm256_slli_epi16::<8>(odd));
        let least = _mm256_set1_epi16(cut.cast_signed());
        let reached = |sums| _mm256_cmpeq_epi16(_mm256_max_epu16(sums, least), sums);
        if _mm256_movemask_epi8(_mm256_or_si256(reached(even), reached(odd))) != 0 {
            let mut sums = [[0u16; 16]; 2];
            // SAFETY: 32 bytes each.
            unsafe {
                _mm256_storeu_si256(sums[0].as_mut_ptr().cast(), even);
                _mm256_storeu_si256(sums[1].as_mut_ptr().cast(), odd);
            }
            for lane in 0..LANES {
                let sum = sums[lane % 2][lane / 2];
                if sum >= *cut {
                    hits.push(Hit {
                        lane: (block * LANES + lane) as u32,
                        sum,
                    });
                }
            }
        }
    }
}

#[target_feature(enable = "avx2")]
unsafe fn dot_lanes(query: &[i16], code: &[i8]) -> Dot {
    let (mut with_query, mut squared) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for (query, code) in query.chunks_exact(16).zip(code.chunks_exact(16)) {
        // SAFETY: sixteen components each.
        let (q, c) = unsafe {
            (
                _mm256_loadu_si256(query.as_ptr().cast()),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(code.as_ptr().cast())),
            )
        };
        with_query = _mm256_add_epi32(with_query, _mm256_madd_epi16(q, c));
        squared = _mm256_add_epi32(squared, _mm256_madd_epi16(c, c));
    }
    let sum = |lanes: __m256i| {
        let mut parts = [0i32; 8];
        // SAFETY: 32 bytes.
        unsafe { _mm256_storeu_si256(parts.as_mut_ptr().cast(), lanes) };
        parts.iter().sum()
    };
    Dot {
        with_query: sum(with_query),
        squared: sum(squared),
    }
}
