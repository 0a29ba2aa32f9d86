//! The best subjects of a search.

use uuid::Uuid;

/// The best similarity of one subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    pub subject: Uuid,
    /// Cosine, -1 to 1.
    pub similarity: f32,
}

/// The best two subjects of those at or above the search's floor, and how many
/// templates it looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ranking {
    pub best: Option<Scored>,
    pub second: Option<Scored>,
    pub searched: usize,
}

impl Ranking {
    /// Takes one template's score into account.
    pub fn add(&mut self, scored: Scored) {
        match self.best {
            Some(best) if best.subject == scored.subject => {
                if scored.similarity > best.similarity {
                    self.best = Some(scored);
                }
            }
            Some(best) if scored.similarity <= best.similarity => {
                if self
                    .second
                    .is_none_or(|second| scored.similarity > second.similarity)
                {
                    self.second = Some(scored);
                }
            }
            previous => {
                if self
                    .second
                    .is_some_and(|second| second.subject == scored.subject)
                    || previous.is_some()
                {
                    self.second = previous;
                }
                self.best = Some(scored);
            }
        }
    }

    /// What two searches of disjoint templates found together.
    pub fn merge(mut self, other: Self) -> Self {
        for scored in [other.best, other.second].into_iter().flatten() {
            self.add(scored);
        }
        self.searched += other.searched;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn ranking(scores: &[(u128, f32)]) -> Ranking {
        let mut ranking = Ranking {
            searched: scores.len(),
            ..Ranking::default()
        };
        for (subject, similarity) in scores {
            ranking.add(Scored {
                subject: Uuid::from_u128(*subject),
                similarity: *similarity,
            });
        }
        ranking
    }

    proptest! {
        #[test]
        fn the_ranking_is_that_of_each_subjects_best(
            scores in prop::collection::vec((0u128..5, 0.0f32..1.0), 0..40),
            split in 0usize..40,
        ) {
            let mut best: HashMap<u128, f32> = HashMap::new();
            for (subject, score) in &scores {
                let entry = best.entry(*subject).or_insert(*score);
                *entry = entry.max(*score);
            }
            let mut expected: Vec<f32> = best.values().copied().collect();
            expected.sort_by(|a, b| b.total_cmp(a));
            let (left, right) = scores.split_at(split.min(scores.len()));
            for found in [ranking(&scores), ranking(left).merge(ranking(right))] {
                prop_assert_eq!(found.best.map(|s| s.similarity), expected.first().copied());
                prop_assert_eq!(found.second.map(|s| s.similarity), expected.get(1).copied());
                prop_assert_eq!(found.searched, scores.len());
            }
        }
    }
}
