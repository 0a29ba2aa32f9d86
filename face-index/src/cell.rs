//! The templates of one set of galleries, in chunks that grow with them: a
//! search reads the cells whose set meets the galleries asked for, so that no
//! template is read twice or for nothing.

use std::sync::{
    Arc, Mutex, PoisonError, RwLock,
    atomic::{AtomicUsize, Ordering},
};

use uuid::Uuid;

use crate::{
    chunk::{Chunk, Owner},
    code::Code,
    kernel::LANES,
};

/// A chunk's most: large enough to scan at full speed, small enough that a
/// change waits for one search of one chunk only.
const MOST: usize = 4_096;

pub(crate) type SharedChunk = Arc<RwLock<Chunk>>;

pub(crate) struct Cell {
    /// In order, without repeats.
    pub(crate) galleries: Box<[Uuid]>,
    components: usize,
    live: AtomicUsize,
    chunks: RwLock<Vec<SharedChunk>>,
    vacant: Mutex<Vacant>,
}

#[derive(Default)]
struct Vacant {
    /// Slots that were wiped.
    wiped: Vec<u32>,
    /// The first slot never used.
    next: u32,
}

impl Cell {
    pub(crate) fn new(galleries: Box<[Uuid]>, components: usize) -> Self {
        Self {
            galleries,
            components,
            live: AtomicUsize::new(0),
            chunks: RwLock::default(),
            vacant: Mutex::default(),
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Whether it holds templates of one of the galleries.
    pub(crate) fn meets(&self, galleries: &[Uuid]) -> bool {
        galleries
            .iter()
            .any(|gallery| self.galleries.binary_search(gallery).is_ok())
    }

    pub(crate) fn chunks(&self) -> Vec<SharedChunk> {
        self.chunks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn with<T>(&self, slot: u32, read: impl FnOnce(&Chunk, usize) -> T) -> T {
        let (chunk, lane) = self.locate(slot);
        let chunk = chunk.read().unwrap_or_else(PoisonError::into_inner);
        read(&chunk, lane)
    }

    /// The slot that the template stands in from now on.
    pub(crate) fn add(&self, owner: Owner, code: &Code) -> u32 {
        let slot = {
            let mut vacant = self.vacant.lock().unwrap_or_else(PoisonError::into_inner);
            vacant.wiped.pop().unwrap_or_else(|| {
                vacant.next += 1;
                vacant.next - 1
            })
        };
        self.grow(slot);
        self.put(slot, owner, code);
        self.live.fetch_add(1, Ordering::Relaxed);
        slot
    }

    /// Replaces what stands there.
    pub(crate) fn put(&self, slot: u32, owner: Owner, code: &Code) {
        let (chunk, lane) = self.locate(slot);
        chunk
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .put(lane, owner, code.components());
    }

    pub(crate) fn remove(&self, slot: u32) {
        let (chunk, lane) = self.locate(slot);
        chunk
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .wipe(lane);
        self.live.fetch_sub(1, Ordering::Relaxed);
        self.vacant
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .wiped
            .push(slot);
    }

    fn grow(&self, slot: u32) {
        let (index, _) = place(slot);
        let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
        while chunks.len() <= index {
            let chunk = Chunk::new(self.components, capacity(chunks.len()));
            chunks.push(Arc::new(RwLock::new(chunk)));
        }
    }

    fn locate(&self, slot: u32) -> (SharedChunk, usize) {
        let (index, lane) = place(slot);
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        (chunks[index].clone(), lane)
    }
}

/// Chunks double until they are as large as they get: 32, 32, 64, 128, …
fn capacity(index: usize) -> usize {
    match index {
        0 => LANES,
        _ => (LANES << (index - 1).min(usize::BITS as usize / 2)).min(MOST),
    }
}

/// The chunk that a slot is in, and the lane there.
fn place(slot: u32) -> (usize, usize) {
    let slot = slot as usize;
    // All chunks before the first of MOST hold MOST together.
    if slot >= MOST {
        let after = slot - MOST;
        let doublings = (MOST / LANES).ilog2() as usize + 1;
        return (doublings + after / MOST, after % MOST);
    }
    if slot < LANES {
        return (0, slot);
    }
    let index = (slot / LANES).ilog2() as usize + 1;
    (index, slot - (LANES << (index - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_fill_the_chunks_one_after_the_other() {
        let mut expected = Vec::new();
        for index in 0..12 {
            expected.extend((0..capacity(index)).map(|lane| (index, lane)));
        }
        assert!(expected.len() > 3 * MOST);
        for (slot, place_of) in expected.into_iter().enumerate() {
            assert_eq!(place(slot as u32), place_of, "slot {slot}");
        }
    }
}
