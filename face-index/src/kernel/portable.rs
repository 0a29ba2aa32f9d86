use super::{Dot, Hit, LANES, Line};

pub(super) fn scan(signs: &[Line], table: &[Line], cuts: &[u16], hits: &mut Vec<Hit>) {
    for (block, (lines, cut)) in signs.chunks_exact(table.len() / 2).zip(cuts).enumerate() {
        let mut sums = [0u16; LANES];
        for (line, entries) in lines.iter().zip(table.chunks_exact(2)) {
            for half in [0, LANES] {
                for (sum, byte) in sums.iter_mut().zip(&line.0[half..]) {
                    *sum += u16::from(entries[0].0[half + usize::from(byte & 15)])
                        + u16::from(entries[1].0[half + usize::from(byte >> 4)]);
                }
            }
        }
        for (lane, sum) in sums.into_iter().enumerate() {
            if sum >= *cut {
                hits.push(Hit {
                    lane: (block * LANES + lane) as u32,
                    sum,
                });
            }
        }
    }
}

pub(super) fn dot(query: &[i16], code: &[i8]) -> Dot {
    let mut dot = Dot {
        with_query: 0,
        squared: 0,
    };
    for (q, c) in query.iter().zip(code) {
        let c = i32::from(*c);
        dot.with_query += i32::from(*q) * c;
        dot.squared += c * c;
    }
    dot
}

#[inline(always)]
pub(super) fn multiply(matrix: &[f32], vector: &[f32], out: &mut [f32]) {
    for (row, out) in matrix.chunks_exact(vector.len()).zip(out) {
        // Thirty-two sums, for the compiler to keep in registers.
        let mut sums = [0.0_f32; 32];
        let (left, right) = (row.chunks_exact(32), vector.chunks_exact(32));
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
        *out = sums.iter().sum::<f32>() + rest;
    }
}
