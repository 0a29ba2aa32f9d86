//! An embedding model: what its vectors look like and when two of them match.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::config::ModelConfig;

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) dimension: usize,
    pub(crate) threshold: f32,
    pub(crate) margin: f32,
    false_match_bound: f64,
}

impl Model {
    pub(crate) fn new(config: &ModelConfig) -> Result<Self, &'static str> {
        if config.name.is_empty() || config.name.len() > 64 {
            return Err("name must have 1 to 64 characters");
        }
        if !(128..=1024).contains(&config.dimension) {
            return Err("dimension must be 128 to 1024");
        }
        if !(0.0..1.0).contains(&config.threshold) || config.threshold == 0.0 {
            return Err("threshold must lie between 0 and 1");
        }
        if !(0.0..1.0).contains(&config.margin) {
            return Err("margin must be at least 0 and less than 1");
        }
        if !(config.false_match_bound > 0.0 && config.false_match_bound < 1.0) {
            return Err("false_match_bound must lie between 0 and 1");
        }
        Ok(Self {
            name: config.name.clone(),
            version: config.version.clone(),
            dimension: config.dimension,
            threshold: config.threshold,
            margin: config.margin,
            false_match_bound: config.false_match_bound,
        })
    }

    /// The least similarity of a match when `templates` are searched.
    ///
    /// Similarities of strangers are about normal with mean 0 and deviation
    /// `1/sqrt(dimension)`, so that a search of N templates stays under the
    /// bound where each comparison's tail is bound/N (Bonferroni).
    pub(crate) fn threshold_for(&self, templates: usize) -> f32 {
        let tail = self.false_match_bound / templates.max(1) as f64;
        let deviation = 1.0 / (self.dimension as f64).sqrt();
        // By symmetry, and because 1 - tail would round to 1.
        let quantile = -Normal::standard().inverse_cdf(tail);
        self.threshold.max((quantile * deviation) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(dimension: usize, threshold: f32) -> Model {
        Model::new(&ModelConfig {
            name: "m".into(),
            version: "1".into(),
            dimension,
            threshold,
            margin: 0.05,
            false_match_bound: 1e-4,
        })
        .expect("a model")
    }

    #[test]
    fn the_threshold_rises_with_the_number_of_templates_and_never_falls_below_its_own() {
        let small = model(128, 0.3);
        let at = |n| small.threshold_for(n);
        assert!(at(10) >= 0.3);
        assert!(at(1_000_000) > at(1_000));
        // Q(z) = 1e-10 at z = 6.3613, over sqrt(128).
        assert!((at(1_000_000) - 0.5623).abs() < 1e-3, "{}", at(1_000_000));
        assert_eq!(model(512, 0.45).threshold_for(1_000), 0.45);
    }

    #[test]
    fn what_cannot_be_a_model_is_refused() {
        let good = ModelConfig {
            name: "m".into(),
            version: "1".into(),
            dimension: 512,
            threshold: 0.45,
            margin: 0.05,
            false_match_bound: 1e-4,
        };
        assert!(Model::new(&good).is_ok());
        for (dimension, taken) in [(64, false), (128, true), (1_024, true), (1_025, false)] {
            let model = Model::new(&ModelConfig {
                dimension,
                ..good.clone()
            });
            assert_eq!(model.is_ok(), taken, "{dimension}");
        }
        assert!(
            Model::new(&ModelConfig {
                threshold: 1.0,
                ..good.clone()
            })
            .is_err()
        );
        assert!(
            Model::new(&ModelConfig {
                margin: -0.1,
                ..good.clone()
            })
            .is_err()
        );
        assert!(
            Model::new(&ModelConfig {
                threshold: f32::NAN,
                ..good
            })
            .is_err()
        );
    }
}
