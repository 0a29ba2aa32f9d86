//! A probe made ready for a scan: its table, its cuts, and its integers.

use zeroize::{Zeroize, Zeroizing};

use crate::{
    code::Code,
    kernel::{Dot, Kernel, LANES, Line},
};

/// Probability of each of the two ways to lose one template that should have
/// been found; see the crate's documentation.
pub const MISS: f64 = 1e-10;

/// The most by which rounding to 8 bits moves a similarity, and with it the
/// estimate.
pub const ROUNDING: f64 = 0.002;

/// Table entries have 6 bits: four of them add up in a byte.
const MOST_ENTRY: f64 = 63.0;
/// Of the probe's components, beside the sign: see [`Kernel::dot`].
const MOST_COMPONENT: f32 = 16_383.0;

/// Sums of the probe's components; wiped when dropped.
pub(crate) struct Table(pub(crate) Vec<Line>);

impl Drop for Table {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|line| line.0.zeroize());
    }
}

/// Holds a probe: cannot be printed; wiped when dropped.
pub struct Query {
    /// For [`Kernel::scan`].
    pub(crate) table: Table,
    /// Least sum by length code.
    cuts: Box<[u16; 256]>,
    components: Zeroizing<Vec<i16>>,
    /// Takes a dot product with the components to one with the unit vector.
    step: f64,
    floor: f32,
}

impl Query {
    /// `rotated` is the probe as the rotation left it; the floor is brought
    /// between 0 and 1.
    pub(crate) fn new(rotated: &[f32], floor: f32) -> Self {
        let floor = floor.clamp(0.0, 1.0);
        let length = rotated.iter().map(|v| v * v).sum::<f32>().sqrt();
        let unit: Zeroizing<Vec<f32>> =
            Zeroizing::new(rotated.iter().map(|value| value / length).collect());
        let (table, step_of_sum, lowest) = table(&unit);
        let cuts = cuts(unit.len(), floor, step_of_sum, lowest);
        let most = unit.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
        let scale = MOST_COMPONENT / most;
        let components: Zeroizing<Vec<i16>> =
            Zeroizing::new(unit.iter().map(|v| (v * scale).round() as i16).collect());
        Self {
            table,
            cuts,
            components,
            step: f64::from(most / MOST_COMPONENT),
            floor,
        }
    }

    /// Least similarity that is looked for.
    pub fn floor(&self) -> f32 {
        self.floor
    }

    /// Cosine of probe and template.
    pub fn similarity(&self, kernel: Kernel, code: &Code) -> f32 {
        self.score(kernel, code.components())
    }

    pub(crate) fn score(&self, kernel: Kernel, code: &[i8]) -> f32 {
        let Dot {
            with_query,
            squared,
        } = kernel.dot(&self.components, code);
        (f64::from(with_query) * self.step / f64::from(squared.max(1)).sqrt()) as f32
    }

    /// Least sum of a template whose signs stand at that length to it.
    pub(crate) fn cut(&self, length: u8) -> u16 {
        self.cuts[usize::from(length)]
    }
}

/// How the signs of a code stand to it: `<s, t'>`, as a fraction of 256,
/// rounded down (a smaller one only lowers the cut).
pub(crate) fn length_code(code: &[i8]) -> u8 {
    let (sum, squared) = code.iter().fold((0.0, 0.0), |(sum, squared), c| {
        let c = f64::from(*c);
        (sum + c.abs(), squared + c * c)
    });
    let length = sum / (squared * code.len() as f64).sqrt();
    (length * 256.0).floor().clamp(0.0, 255.0) as u8
}

/// The eight signs of a plane as a byte, a bit where the component is not
/// negative.
pub(crate) fn sign_byte(components: &[i8]) -> u8 {
    components
        .iter()
        .enumerate()
        .fold(0, |byte, (bit, c)| byte | (u8::from(*c >= 0) << bit))
}

/// A row of sixteen entries for each four components: their sum under each
/// pattern of signs, from the row's lowest, in steps. With the step, and the
/// sum of all lowest.
fn table(unit: &[f32]) -> (Table, f64, f64) {
    let reach = |four: &[f32]| four.iter().map(|v| f64::from(v.abs())).sum::<f64>();
    let widest = unit.chunks_exact(4).map(reach).fold(0.0, f64::max);
    let step = (2.0 * widest / MOST_ENTRY).max(f64::MIN_POSITIVE);
    let mut table = Table(vec![Line::ZERO; unit.len() / 8]);
    let mut lowest = 0.0;
    for (number, four) in unit.chunks_exact(4).enumerate() {
        let reach = reach(four);
        lowest -= reach;
        // As the kernel reads it: two planes a line, low signs before high.
        let (plane, high) = (number / 2, number % 2);
        let half = plane % 2 * LANES;
        let row = &mut table.0[plane / 2 * 2 + high].0[half..half + LANES];
        for (pattern, entry) in (0..16u8).zip(&mut *row) {
            let sum: f64 = four
                .iter()
                .enumerate()
                .map(|(bit, v)| {
                    let sign = f64::from(pattern >> bit & 1) * 2.0 - 1.0;
                    sign * f64::from(*v)
                })
                .sum();
            *entry = ((sum + reach) / step).round().clamp(0.0, MOST_ENTRY) as u8;
        }
        row.copy_within(..16, 16);
    }
    (table, step, lowest)
}

fn cuts(components: usize, floor: f32, step: f64, lowest: f64) -> Box<[u16; 256]> {
    let floor = f64::from(floor);
    let d = components as f64;
    let deviation = (1.0 - (2.0 * MISS).powf(2.0 / (d - 2.0))).sqrt();
    let rounding_of_table = (d / 4.0 * (1.0 / MISS).ln() / 2.0).sqrt();
    let mut cuts = Box::new([0; 256]);
    for (code, cut) in cuts.iter_mut().enumerate() {
        let length = code as f64 / 256.0;
        let spread = ((1.0 - floor * floor) * (1.0 - length * length)).sqrt();
        let estimate = floor * length - spread * deviation - ROUNDING;
        let sum = (estimate * d.sqrt() - lowest) / step - rounding_of_table;
        *cut = sum.floor().clamp(0.0, f64::from(u16::MAX)) as u16;
    }
    cuts
}
