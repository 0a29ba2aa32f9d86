//! Brute force over the float32 vectors, by matrix products.

use ndarray::{Array2, ArrayView2, Axis, s};

use super::DECIDER;

/// Rows whose products are held at once.
const TEMPLATES: usize = 2_048;
const PROBES: usize = 256;
/// What rounding to 8 bits may decide otherwise.
const TIE: f32 = 0.002;

/// What a search comes to; templates are of one subject each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Match(usize),
    Nobody,
    Ambiguous,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) outcome: Outcome,
    /// The best template at or above the threshold, margin aside.
    pub(crate) best: Option<usize>,
    /// Whether every score stands clear of threshold and margin.
    pub(crate) is_clear: bool,
}

#[derive(Clone, Copy)]
struct Two {
    best: (f32, usize),
    second: f32,
}

/// What each probe should come to.
pub(crate) fn decide(templates: &Array2<f32>, probes: &Array2<f32>) -> Vec<Expected> {
    let half = probes.nrows().div_ceil(2).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = probes
            .axis_chunks_iter(Axis(0), half)
            .map(|part| scope.spawn(move || decide_part(templates.view(), part)))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap_or_default())
            .collect()
    })
}

fn decide_part(templates: ArrayView2<'_, f32>, probes: ArrayView2<'_, f32>) -> Vec<Expected> {
    let mut expected = Vec::with_capacity(probes.nrows());
    for probes in probes.axis_chunks_iter(Axis(0), PROBES) {
        let none = Two {
            best: (f32::MIN, 0),
            second: f32::MIN,
        };
        let mut found = vec![none; probes.nrows()];
        for start in (0..templates.nrows()).step_by(TEMPLATES) {
            let end = (start + TEMPLATES).min(templates.nrows());
            let products = probes.dot(&templates.slice(s![start..end, ..]).t());
            for (two, row) in found.iter_mut().zip(products.rows()) {
                for (number, score) in row.iter().enumerate() {
                    if *score > two.best.0 {
                        two.second = two.best.0;
                        two.best = (*score, start + number);
                    } else if *score > two.second {
                        two.second = *score;
                    }
                }
            }
        }
        expected.extend(found.into_iter().map(judge));
    }
    expected
}

fn judge(two: Two) -> Expected {
    let (score, row) = two.best;
    let matched = score >= DECIDER.threshold;
    let apart = score - two.second;
    let outcome = match matched {
        false => Outcome::Nobody,
        true if apart < DECIDER.margin => Outcome::Ambiguous,
        true => Outcome::Match(row),
    };
    let near_threshold = (score - DECIDER.threshold).abs() <= TIE;
    // Two scores move, so that their distance may move twice as far.
    let near_margin = matched && (apart - DECIDER.margin).abs() <= 2.0 * TIE;
    Expected {
        outcome,
        best: matched.then_some(row),
        is_clear: !near_threshold && !near_margin,
    }
}
