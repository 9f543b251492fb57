//! Medians and percentiles.

use std::time::Duration;

/// The value below which a share of the values lies (nearest rank). 0 for no values.
#[must_use]
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

/// The middle value. 0 for no values.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// Milliseconds.
#[must_use]
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_nearest() {
        let values: Vec<f64> = (1..=100).map(f64::from).rev().collect();
        assert_eq!((median(&values), percentile(&values, 0.99)), (50.0, 99.0));
        assert_eq!((median(&[3.0]), median(&[])), (3.0, 0.0));
    }
}
