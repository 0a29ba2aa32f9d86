//! What a search's ranking means: somebody, nobody, or two too close to tell.

use face_index::Ranking;
use uuid::Uuid;

use super::model::Model;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Match(Uuid),
    Nobody,
    Ambiguous,
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
    use face_index::Scored;

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
}
