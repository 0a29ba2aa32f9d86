//! A run of templates in memory: signs in blocks for the scan, codes for what
//! the scan finds.

use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    code::Code,
    kernel::{Hit, Kernel, LANES, LINE, Line},
    query::{Query, length_code, sign_byte},
    ranking::{Ranking, Scored},
};

/// Of a lane that holds nobody: no block's cut is the lower for it.
const NO_LENGTH: u8 = u8::MAX;

/// Who a template is of. The tag is half of the template's id: enough to tell
/// the few templates of one subject apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) subject: Uuid,
    pub(crate) tag: u64,
}

pub(crate) struct Chunk {
    components: usize,
    /// As [`Kernel::scan`] reads them.
    signs: Box<[Line]>,
    codes: Box<[i8]>,
    lengths: Box<[u8]>,
    /// The least length of each block.
    floors: Box<[u8]>,
    subjects: Box<[Uuid]>,
    tags: Box<[u64]>,
    /// Blocks that hold or held somebody.
    blocks: usize,
}

impl Chunk {
    /// `capacity` is a multiple of [`LANES`].
    pub(crate) fn new(components: usize, capacity: usize) -> Self {
        Self {
            components,
            signs: vec![Line::ZERO; capacity * components / 8 / LINE].into_boxed_slice(),
            codes: vec![0; capacity * components].into_boxed_slice(),
            lengths: vec![NO_LENGTH; capacity].into_boxed_slice(),
            floors: vec![NO_LENGTH; capacity / LANES].into_boxed_slice(),
            subjects: vec![Uuid::nil(); capacity].into_boxed_slice(),
            tags: vec![0; capacity].into_boxed_slice(),
            blocks: 0,
        }
    }

    /// None where the lane is empty.
    pub(crate) fn owner(&self, lane: usize) -> Option<Owner> {
        let subject = self.subjects[lane];
        (!subject.is_nil()).then(|| Owner {
            subject,
            tag: self.tags[lane],
        })
    }

    pub(crate) fn code(&self, lane: usize) -> &[i8] {
        &self.codes[lane * self.components..][..self.components]
    }

    /// To put elsewhere.
    pub(crate) fn copy(&self, lane: usize) -> Option<Code> {
        let code = self.code(lane).iter();
        let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(code.map(|c| c.cast_unsigned()).collect());
        Code::from_bytes(&bytes, self.components)
    }

    pub(crate) fn put(&mut self, lane: usize, owner: Owner, code: &[i8]) {
        self.codes[lane * self.components..][..self.components].copy_from_slice(code);
        self.lengths[lane] = length_code(code);
        self.subjects[lane] = owner.subject;
        self.tags[lane] = owner.tag;
        self.set_signs(lane, |plane| sign_byte(&code[plane * 8..][..8]));
        self.blocks = self.blocks.max(lane / LANES + 1);
        self.set_floor(lane / LANES);
    }

    /// Overwrites the lane: nothing of the template stays.
    pub(crate) fn wipe(&mut self, lane: usize) {
        self.codes[lane * self.components..][..self.components].zeroize();
        self.lengths[lane] = NO_LENGTH;
        self.subjects[lane] = Uuid::nil();
        self.tags[lane] = 0;
        self.set_signs(lane, |_| 0);
        self.set_floor(lane / LANES);
    }

    fn set_signs(&mut self, lane: usize, byte: impl Fn(usize) -> u8) {
        let planes = self.components / 8;
        let block = lane / LANES * planes / 2;
        for plane in 0..planes {
            self.signs[block + plane / 2].0[plane % 2 * LANES + lane % LANES] = byte(plane);
        }
    }

    fn set_floor(&mut self, block: usize) {
        let lengths = &self.lengths[block * LANES..][..LANES];
        self.floors[block] = lengths.iter().copied().min().unwrap_or(NO_LENGTH);
    }

    /// Adds every template at or above the query's floor.
    pub(crate) fn search(&self, kernel: Kernel, query: &Query, found: &mut Ranking) {
        let cuts: Vec<u16> = self.floors[..self.blocks]
            .iter()
            .map(|floor| query.cut(*floor))
            .collect();
        let mut hits: Vec<Hit> = Vec::new();
        kernel.scan(&self.signs, &query.table.0, &cuts, &mut hits);
        for hit in hits {
            let lane = hit.lane as usize;
            if hit.sum < query.cut(self.lengths[lane]) {
                continue;
            }
            let Some(owner) = self.owner(lane) else {
                continue;
            };
            let similarity = query.score(kernel, self.code(lane));
            if similarity >= query.floor() {
                found.add(Scored {
                    subject: owner.subject,
                    similarity,
                });
            }
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.codes.zeroize();
        self.signs.iter_mut().for_each(|line| line.0.zeroize());
    }
}

impl Owner {
    pub(crate) fn new(subject: Uuid, template: Uuid) -> Self {
        Self {
            subject,
            tag: template.as_u64_pair().1,
        }
    }
}
