//! What a search's ranking means: somebody, nobody, or two too close to tell.

use uuid::Uuid;

use super::model::Model;

/// The best similarity of one subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scored {
    pub(crate) subject: Uuid,
    pub(crate) similarity: f32,
}

/// The best two subjects of a search, and how many templates it saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ranking {
    pub(crate) best: Option<Scored>,
    pub(crate) second: Option<Scored>,
    pub(crate) searched: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Match(Uuid),
    Nobody,
    Ambiguous,
}

impl Ranking {
    /// Takes one template's score into account.
    pub(crate) fn add(&mut self, scored: Scored) {
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
}

pub(crate) fn decide(ranking: &Ranking, model: &Model) -> Outcome {
    let threshold = model.threshold_for(ranking.searched);
    match (ranking.best, ranking.second) {
        (Some(best), _) if best.similarity < threshold => Outcome::Nobody,
        (Some(best), Some(second)) if best.similarity - second.similarity < model.margin => {
            Outcome::Ambiguous
        }
        (Some(best), _) => Outcome::Match(best.subject),
        (None, _) => Outcome::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::config::ModelConfig;

    fn model() -> Model {
        Model::new(&ModelConfig {
            name: "m".into(),
            version: "1".into(),
            dimension: 512,
            threshold: 0.45,
            margin: 0.05,
            false_match_bound: 1e-4,
        })
        .expect("a model")
    }

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

    #[test]
    fn somebody_nobody_or_ambiguous() {
        let decide = |scores: &[(u128, f32)]| decide(&ranking(scores), &model());
        assert_eq!(decide(&[]), Outcome::Nobody);
        assert_eq!(decide(&[(1, 0.44)]), Outcome::Nobody);
        assert_eq!(
            decide(&[(1, 0.60), (2, 0.10)]),
            Outcome::Match(Uuid::from_u128(1))
        );
        assert_eq!(decide(&[(1, 0.60), (2, 0.57)]), Outcome::Ambiguous);
        // Two templates of one subject are no rivals of each other.
        assert_eq!(
            decide(&[(1, 0.60), (1, 0.59)]),
            Outcome::Match(Uuid::from_u128(1))
        );
        // A rival below the threshold still makes it ambiguous.
        assert_eq!(decide(&[(1, 0.46), (2, 0.44)]), Outcome::Ambiguous);
    }

    proptest! {
        #[test]
        fn the_ranking_is_that_of_each_subjects_best(
            scores in prop::collection::vec((0u128..5, 0.0f32..1.0), 0..40)
        ) {
            let mut best: HashMap<u128, f32> = HashMap::new();
            for (subject, score) in &scores {
                let entry = best.entry(*subject).or_insert(*score);
                *entry = entry.max(*score);
            }
            let mut expected: Vec<f32> = best.values().copied().collect();
            expected.sort_by(|a, b| b.total_cmp(a));
            let found = ranking(&scores);
            prop_assert_eq!(found.best.map(|s| s.similarity), expected.first().copied());
            prop_assert_eq!(found.second.map(|s| s.similarity), expected.get(1).copied());
        }
    }
}
