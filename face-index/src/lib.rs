//! Exact 1:N search of face templates: who of many is nearest to a probe, at
//! or above a floor.
//!
//! # Method
//!
//! A template is a unit vector `t` of `d` components. A secret isometry `R`,
//! drawn from the Haar measure, takes it to `D` components ([`Rotation`]);
//! what is kept is `c`, the rotated vector rounded to 8 bits a component
//! ([`Code`]). The similarity of probe and template is the cosine of `R q` and
//! `c` ([`Query::similarity`]), computed in integers: the same on every path.
//!
//! Reading `D` bytes a template is what a search costs, so that a first pass
//! reads one bit a component: the signs of `c`, scanned against the probe at
//! full precision (the asymmetric estimator of RaBitQ, Gao and Long, SIGMOD
//! 2024, in the block layout of Andre, Kermarrec and Le Scouarnec, VLDB 2015).
//! Only templates whose estimate reaches a cut are read whole.
//!
//! # Why the cut loses nobody
//!
//! Let `s` be the signs of `t' = R t`, scaled to unit length, and `f = <s, t'>`
//! (about 0.8; kept, rounded down, in a byte a template). With `q' = R q` and
//! `cos = <q', t'>`, write `q' = cos t' + sqrt(1 - cos^2) w`, `w` a unit vector
//! orthogonal to `t'`. Then
//!
//! `<q', s> = cos f + sqrt(1 - cos^2) sqrt(1 - f^2) e`,
//!
//! where `e` is the component of `w` along the rest of `s`. `R` being Haar, `w`
//! is uniform on the sphere of `D - 1` components whatever the data, and
//! independent of `t'`, so that `e` is one coordinate of it:
//!
//! `P(e <= -u) <= (1 - u^2)^((D - 2) / 2) / 2`.
//!
//! For a template at or above the floor the mean is at least `floor f` and the
//! spread at most `sqrt(1 - floor^2) sqrt(1 - f^2)`, so that the cut
//!
//! `floor f - sqrt(1 - floor^2) sqrt(1 - f^2) u`, `u = sqrt(1 - (2 p)^(2 / (D - 2)))`
//!
//! loses it with probability at most `p` = [`MISS`]. The scan adds up table
//! entries of 6 bits, one for four components, each off by at most half a step;
//! by Hoeffding's inequality their sum is off by more than
//! `sqrt(D/4 ln(1/p) / 2)` steps with probability at most `p` again, and the cut
//! is lowered by that and by [`ROUNDING`], the most by which rounding to
//! 8 bits turns a template. So a search misses a template that it should have
//! found with probability at most `2 MISS`, whatever the data: for 512
//! components that is a cut 6.5 deviations below the floor, which about ten of
//! a million strangers reach.
//!
//! # What the rotation is worth
//!
//! Codes without their rotation match no probe, and a rotation can be renewed
//! by composing it with another ([`Rotation::renewed`]), without the original
//! vectors. It keeps all angles between templates: two stolen stores can be
//! linked by their geometry, and known pairs of vector and code give it away.
//! Encryption at rest is what prevents that. Each renewal rounds once more:
//! [`Rotation::MOST_RENEWALS`] bounds how often.

mod cell;
mod chunk;
mod code;
mod index;
mod kernel;
mod query;
mod ranking;
mod rotation;
mod searcher;
mod vector;

pub use code::Code;
pub use index::{Counts, Index, Scope};
pub use kernel::Kernel;
pub use query::{MISS, Query, ROUNDING};
pub use ranking::{Ranking, Scored};
pub use rotation::{Renewal, Rotation, RotationError};
pub use searcher::{Busy, Decider, Searcher};
pub use vector::{FaceVector, VectorError};
