//! What tokens cost: the configured prices, by model.

use std::collections::HashMap;

use loquat_agent::event::Usage;

use crate::models::{ModelConfig, Prices};

/// The prices of all models that have any.
#[derive(Clone, Debug, Default)]
pub struct PriceTable(HashMap<String, Prices>);

impl PriceTable {
    /// The prices of the configured models.
    #[must_use]
    pub fn new(models: &[ModelConfig]) -> Self {
        let priced = models.iter().filter_map(|model| Some((model.id.clone(), model.prices?)));
        Self(priced.collect())
    }

    /// Whether no model has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a call of this model cost, in US dollars; `None` for a model without prices.
    #[must_use]
    pub fn cost(&self, model: &str, usage: &Usage) -> Option<f64> {
        Some(round(self.0.get(model)?.cost(usage)))
    }
}

/// To the billionth of a dollar: sums of such numbers read as people expect them.
#[must_use]
pub fn round(usd: f64) -> f64 {
    (usd * 1e9).round() / 1e9
}

/// Two costs as one; what is unknown adds nothing.
#[must_use]
pub fn sum(one: Option<f64>, more: Option<f64>) -> Option<f64> {
    match (one, more) {
        (Some(one), Some(more)) => Some(round(one + more)),
        (one, more) => one.or(more),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_priced_models_cost() {
        let prices = Prices { input: 3.0, output: 15.0, cache_read: Some(0.3), cache_write: Some(3.75) };
        let models = [
            ModelConfig { id: "openai/a".into(), prices: Some(prices), ..ModelConfig::default() },
            ModelConfig { id: "local/b".into(), ..ModelConfig::default() },
        ];
        let table = PriceTable::new(&models);
        let usage = Usage {
            input_tokens: 1_000,
            output_tokens: 500,
            cache_read_tokens: 2_000,
            cache_write_tokens: 100,
        };
        assert_eq!(table.cost("openai/a", &usage), Some(0.011_475));
        assert_eq!(table.cost("local/b", &usage), None);
    }
}
