//! The templates of one model. Changes and searches go on side by side: a
//! search holds one chunk at a time, a change one lane's chunk for the time of
//! writing it.

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use hashbrown::{DefaultHashBuilder, HashTable};
use uuid::Uuid;

use crate::{
    cell::{Cell, SharedChunk},
    chunk::Owner,
    code::Code,
    kernel::Kernel,
    query::Query,
    ranking::Ranking,
};

/// What a search looks at.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Subjects of any of the galleries.
    Galleries(&'a [Uuid]),
    Everywhere,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub templates: usize,
    /// Galleries with templates in them.
    pub galleries: usize,
}

/// Where a template stands.
#[derive(Clone, Copy)]
struct Place {
    cell: u32,
    slot: u32,
}

type Cells = Arc<Vec<Arc<Cell>>>;

/// What changes look things up in. Its lock is the one of all changes;
/// searches never take it.
#[derive(Default)]
struct Changes {
    /// The places of every template, under the hash of its subject.
    places: HashTable<Place>,
    cells: HashMap<Box<[Uuid]>, u32>,
}

pub struct Index {
    components: usize,
    kernel: Kernel,
    cells: RwLock<Cells>,
    changes: Mutex<Changes>,
    hasher: DefaultHashBuilder,
}

impl Index {
    /// For codes of that many components.
    pub fn new(components: usize, kernel: Kernel) -> Self {
        Self {
            components,
            kernel,
            cells: RwLock::default(),
            changes: Mutex::default(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Makes room, so that loading many moves nothing twice.
    pub fn reserve(&self, templates: usize) {
        let cells = self.cells();
        let rehash = |place: &Place| self.hash(owner(&cells, *place).subject);
        self.lock().places.reserve(templates, rehash);
    }

    /// Adds the template, or replaces the one of that id; the subject's
    /// templates are searched in these galleries from now on.
    pub fn put(&self, subject: Uuid, template: Uuid, galleries: &[Uuid], code: &Code) {
        let mut changes = self.lock();
        let cell = self.move_to(&mut changes, subject, galleries);
        let cells = self.cells();
        let put = Owner::new(subject, template);
        let standing = changes
            .places
            .iter_hash(self.hash(subject))
            .find(|place| owner(&cells, **place) == put)
            .copied();
        if let Some(place) = standing {
            cells[place.cell as usize].put(place.slot, put, code);
            return;
        }
        let slot = cells[cell as usize].add(put, code);
        let rehash = |place: &Place| self.hash(owner(&cells, *place).subject);
        changes
            .places
            .insert_unique(self.hash(subject), Place { cell, slot }, rehash);
    }

    /// The subject's templates are searched in these galleries from now on.
    pub fn set_galleries(&self, subject: Uuid, galleries: &[Uuid]) {
        self.move_to(&mut self.lock(), subject, galleries);
    }

    /// Moves what the subject has to the cell of the galleries, and names it.
    fn move_to(&self, changes: &mut Changes, subject: Uuid, galleries: &[Uuid]) -> u32 {
        let index = self.cell(changes, galleries);
        let cells = self.cells();
        for place in changes.places.iter_hash_mut(self.hash(subject)) {
            let old = &cells[place.cell as usize];
            let standing = old.with(place.slot, |chunk, lane| {
                chunk.owner(lane).zip(chunk.copy(lane))
            });
            let Some((owner, code)) = standing else {
                continue;
            };
            if place.cell == index || owner.subject != subject {
                continue;
            }
            // Twice for a moment: one subject is no rival of itself, and in
            // neither a search would miss somebody.
            let slot = cells[index as usize].add(owner, &code);
            old.remove(place.slot);
            *place = Place { cell: index, slot };
        }
        index
    }

    /// Overwrites the subject's templates; how many there were.
    pub fn erase(&self, subject: Uuid) -> usize {
        self.remove(subject, |_| true)
    }

    /// Overwrites the subject's templates that are not among these.
    pub fn retain(&self, subject: Uuid, templates: &[Uuid]) -> usize {
        let kept: Vec<Owner> = templates
            .iter()
            .map(|id| Owner::new(subject, *id))
            .collect();
        self.remove(subject, |owner| !kept.contains(&owner))
    }

    fn remove(&self, subject: Uuid, goes: impl Fn(Owner) -> bool) -> usize {
        let mut changes = self.lock();
        let cells = self.cells();
        let mut gone = 0;
        while let Ok(entry) = changes.places.find_entry(self.hash(subject), |place| {
            let owner = owner(&cells, *place);
            owner.subject == subject && goes(owner)
        }) {
            let (place, _) = entry.remove();
            cells[place.cell as usize].remove(place.slot);
            gone += 1;
        }
        gone
    }

    /// The least similarity to the subject's own templates, leaving one out.
    pub fn least_own_similarity(&self, subject: Uuid, query: &Query, except: Uuid) -> Option<f32> {
        let changes = self.lock();
        let cells = self.cells();
        let except = Owner::new(subject, except);
        changes
            .places
            .iter_hash(self.hash(subject))
            .filter_map(|place| {
                cells[place.cell as usize].with(place.slot, |chunk, lane| {
                    let owner = chunk.owner(lane)?;
                    (owner.subject == subject && owner != except)
                        .then(|| query.score(self.kernel, chunk.code(lane)))
                })
            })
            .min_by(f32::total_cmp)
    }

    /// Templates that a search of that scope looks at.
    pub fn count(&self, scope: Scope<'_>) -> usize {
        self.scope(scope).iter().map(|cell| cell.live()).sum()
    }

    /// The chunks that a search of that scope reads.
    pub(crate) fn chunks(&self, scope: Scope<'_>) -> Vec<SharedChunk> {
        let cells = self.scope(scope);
        cells.iter().flat_map(|cell| cell.chunks()).collect()
    }

    /// The whole search on this thread.
    pub fn search(&self, query: &Query, scope: Scope<'_>) -> Ranking {
        let mut found = Ranking::default();
        for cell in self.scope(scope) {
            found.searched += cell.live();
            for chunk in cell.chunks() {
                let chunk = chunk.read().unwrap_or_else(PoisonError::into_inner);
                chunk.search(self.kernel, query, &mut found);
            }
        }
        found
    }

    pub fn counts(&self) -> Counts {
        let cells = self.cells();
        let live = cells.iter().filter(|cell| cell.live() > 0);
        let galleries: HashSet<Uuid> = live
            .clone()
            .flat_map(|cell| cell.galleries.iter().copied())
            .collect();
        Counts {
            templates: live.map(|cell| cell.live()).sum(),
            galleries: galleries.len(),
        }
    }

    fn scope(&self, scope: Scope<'_>) -> Vec<Arc<Cell>> {
        let cells = self.cells();
        let chosen = cells.iter().filter(|cell| match scope {
            Scope::Galleries(galleries) => cell.meets(galleries),
            Scope::Everywhere => true,
        });
        chosen.cloned().collect()
    }

    /// The cell of exactly these galleries.
    fn cell(&self, changes: &mut Changes, galleries: &[Uuid]) -> u32 {
        let mut galleries = galleries.to_vec();
        galleries.sort_unstable();
        galleries.dedup();
        let galleries = galleries.into_boxed_slice();
        if let Some(index) = changes.cells.get(&galleries) {
            return *index;
        }
        let cell = Cell::new(galleries.clone(), self.components);
        let mut cells = self.cells.write().unwrap_or_else(PoisonError::into_inner);
        let index = cells.len() as u32;
        Arc::make_mut(&mut cells).push(Arc::new(cell));
        changes.cells.insert(galleries, index);
        index
    }

    fn cells(&self) -> Cells {
        self.cells
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self, subject: Uuid) -> u64 {
        self.hasher.hash_one(subject)
    }
}

/// Nil where the place is empty, which under the lock of changes it never is.
fn owner(cells: &[Arc<Cell>], place: Place) -> Owner {
    cells[place.cell as usize]
        .with(place.slot, |chunk, lane| chunk.owner(lane))
        .unwrap_or(Owner::new(Uuid::nil(), Uuid::nil()))
}
