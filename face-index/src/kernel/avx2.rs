//! Reached through [`super::Kernel`] alone, which has looked that the
//! processor has the features, and that the slices have the lengths.
#![allow(
    unsafe_code,
    reason = "vector loads are by pointer, and features are checked by the caller"
)]

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi8, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_and_si256, _mm256_cmpeq_epi16, _mm256_cvtepi8_epi16, _mm256_load_si256,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_max_epu16, _mm256_movemask_epi8, _mm256_or_si256,
    _mm256_set1_epi8, _mm256_set1_epi16, _mm256_setzero_si256, _mm256_shuffle_epi8,
    _mm256_slli_epi16, _mm256_srli_epi16, _mm256_storeu_si256, _mm256_sub_epi16,
};

use super::{Dot, Hit, Line, portable};

pub(super) fn scan(signs: &[Line], table: &[Line], cuts: &[u16], hits: &mut Vec<Hit>) {
    // SAFETY: as the module says.
    unsafe { scan_blocks(signs, table, cuts, hits) }
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
unsafe fn scan_blocks(signs: &[Line], table: &[Line], cuts: &[u16], hits: &mut Vec<Hit>) {
    let block = table.len() / 2;
    for (number, cut) in cuts.iter().enumerate() {
        let sums = sums(&signs[number * block..], table);
        collect(&sums, number, *cut, hits);
    }
}

/// Sums of the first block's even lanes, then of its odd ones.
#[target_feature(enable = "avx2")]
#[inline]
fn sums(signs: &[Line], table: &[Line]) -> [__m256i; 2] {
    let (mut even, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for (line, rows) in signs.iter().zip(table.chunks_exact(2)) {
        let (signs, of_low, of_high) = (halves(line), halves(&rows[0]), halves(&rows[1]));
        // Four entries of at most 63 fit a byte.
        let sum = _mm256_add_epi8(
            entries(signs[0], of_low[0], of_high[0]),
            entries(signs[1], of_low[1], of_high[1]),
        );
        // Read as 16 bits, a pair of bytes is even + 256 odd.
        even = _mm256_add_epi16(even, sum);
        odd = _mm256_add_epi16(odd, _mm256_srli_epi16::<8>(sum));
    }
    let carried = _mm256_slli_epi16::<8>(odd);
    [_mm256_sub_epi16(even, carried), odd]
}

#[target_feature(enable = "avx2")]
#[inline]
fn entries(signs: __m256i, of_low: __m256i, of_high: __m256i) -> __m256i {
    let low = _mm256_set1_epi8(0x0f);
    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(signs), low);
    _mm256_add_epi8(
        _mm256_shuffle_epi8(of_low, _mm256_and_si256(signs, low)),
        _mm256_shuffle_epi8(of_high, high),
    )
}

#[target_feature(enable = "avx2")]
#[inline]
fn halves(line: &Line) -> [__m256i; 2] {
    let halves = line.0.as_ptr().cast::<__m256i>();
    // SAFETY: a line is two registers, aligned as one.
    unsafe { [_mm256_load_si256(halves), _mm256_load_si256(halves.add(1))] }
}

#[target_feature(enable = "avx2")]
#[inline]
fn collect(sums: &[__m256i; 2], block: usize, cut: u16, hits: &mut Vec<Hit>) {
    let least = _mm256_set1_epi16(cut.cast_signed());
    let reached = |sums| _mm256_cmpeq_epi16(_mm256_max_epu16(sums, least), sums);
    if _mm256_movemask_epi8(_mm256_or_si256(reached(sums[0]), reached(sums[1]))) != 0 {
        let mut lanes = [[0u16; 16]; 2];
        for (lanes, sums) in lanes.iter_mut().zip(sums) {
            // SAFETY: 32 bytes.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), *sums) };
        }
        super::collect(&lanes, block, cut, hits);
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
