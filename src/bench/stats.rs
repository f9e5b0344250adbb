//! Paired comparisons: ratios inside blocks, the interval that repeating them would give, and what may be said of it.
//!
//! Two cells that run in one block share its disturbances, so their ratio varies less than either of them. Pure
//! functions; the same seed gives the same interval.

use fastrand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Resamples of an interval.
const RESAMPLES: usize = 10_000;
/// Share of all resamples that lies outside of an interval.
const OUTSIDE: f64 = 0.05;
/// Modified z-score beyond which a value is flagged (Iglewicz and Hoaglin, "How to detect and handle outliers", 1993).
const OUTLIER: f64 = 3.5;

/// The middle value, or the mean of the middle two; none of none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], upper)
    } else {
        upper
    })
}

/// A figure and the interval in which it would lie again in 95 of 100 repetitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Interval {
    /// The figure.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// A figure of which nobody knows how it varies.
    pub fn exactly(estimate: f64) -> Self {
        Self {
            estimate,
            low: estimate,
            high: estimate,
        }
    }
}

/// The median of `values` with its percentile bootstrap interval (Efron and Tibshirani, "An introduction to the
/// bootstrap", 1993, chapter 13); none of none.
pub fn bootstrap_median(values: &[f64], seed: u64) -> Option<Interval> {
    let estimate = median(values)?;
    let mut rng = Rng::with_seed(seed);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| resampled_median(values, &mut rng))
        .collect();
    medians.sort_by(f64::total_cmp);
    let cut = (RESAMPLES as f64 * OUTSIDE / 2.0) as usize;
    Some(Interval {
        estimate,
        low: medians[cut],
        high: medians[RESAMPLES - 1 - cut],
    })
}

fn resampled_median(values: &[f64], rng: &mut Rng) -> f64 {
    let mut drawn: Vec<f64> = (0..values.len())
        .map(|_| values[rng.usize(..values.len())])
        .collect();
    drawn.sort_by(f64::total_cmp);
    median_of_sorted(&drawn).expect("as many as there are values")
}

/// How a cell compares with the baseline.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Ratio {
    /// Cell divided by baseline: 0.5 means half of its time.
    pub interval: Interval,
    /// Blocks in which the cell took less.
    pub wins: usize,
    /// Blocks in which both were measured.
    pub blocks: usize,
}

/// The ratio of the first of each pair to the second, one pair a block: the median of the logarithms, so that twice and
/// half are equally far from one. None without pairs, or when a value is not positive.
pub fn ratio(pairs: &[(f64, f64)], seed: u64) -> Option<Ratio> {
    if pairs
        .iter()
        .any(|(cell, baseline)| !(*cell > 0.0 && *baseline > 0.0))
    {
        return None;
    }
    let logs: Vec<f64> = pairs
        .iter()
        .map(|(cell, baseline)| (cell / baseline).ln())
        .collect();
    let interval = bootstrap_median(&logs, seed)?;
    Some(Ratio {
        interval: Interval {
            estimate: interval.estimate.exp(),
            low: interval.low.exp(),
            high: interval.high.exp(),
        },
        wins: pairs.iter().filter(|(cell, baseline)| cell < baseline).count(),
        blocks: pairs.len(),
    })
}

/// What a comparison of the baseline with itself shows although there is nothing to see: ratios from `1 / factor` to
/// `factor` mean nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseBand {
    /// At least 1.
    pub factor: f64,
}

impl NoiseBand {
    /// The band of an A/A comparison: as far as its interval reaches to the worse side.
    pub fn of(identical: &Ratio) -> Self {
        let Interval { low, high, .. } = identical.interval;
        Self {
            factor: high.max(1.0 / low).max(1.0),
        }
    }
}

/// What may be said of a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It takes less, beyond noise.
    Less,
    /// It takes more, beyond noise.
    More,
    /// The interval holds 1 or reaches into the noise band.
    Inconclusive,
}

impl Ratio {
    /// A difference counts when the whole interval lies on one side of the whole noise band, which holds 1.
    pub fn difference(&self, noise: NoiseBand) -> Difference {
        if self.interval.high < 1.0 / noise.factor {
            Difference::Less
        } else if self.interval.low > noise.factor {
            Difference::More
        } else {
            Difference::Inconclusive
        }
    }
}

/// Positions of values that lie far from all others: modified z-score beyond 3.5, by the median absolute deviation. They
/// are flagged and stay.
pub fn outliers(values: &[f64]) -> Vec<usize> {
    let Some(middle) = median(values) else {
        return Vec::new();
    };
    let deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    let spread = median(&deviations).unwrap_or(0.0);
    if spread == 0.0 {
        return Vec::new();
    }
    // 0.6745 is the third quartile of the normal distribution, which makes the score one of standard deviations.
    let score = |deviation: &f64| 0.6745 * deviation / spread;
    let far = deviations
        .iter()
        .enumerate()
        .filter(|(_, deviation)| score(deviation) > OUTLIER);
    far.map(|(position, _)| position).collect()
}

/// Whether values rise or fall with their order more than chance makes them: Mann and Kendall's test at 5 %, with the
/// normal approximation for ten values and more (Kendall, "Rank correlation methods", 1975); below that never.
pub fn has_trend(values: &[f64]) -> bool {
    let count = values.len() as f64;
    if values.len() < 10 {
        return false;
    }
    let score = kendall_score(values) as f64;
    let variance = count * (count - 1.0) * (2.0 * count + 5.0) / 18.0;
    // One less, because the score moves in steps of two.
    (score.abs() - 1.0) / variance.sqrt() > 1.96
}

/// Pairs in rising order less pairs in falling order.
fn kendall_score(values: &[f64]) -> i64 {
    let pairs = values
        .iter()
        .enumerate()
        .flat_map(|(position, first)| values[position + 1..].iter().map(move |second| (first, second)));
    pairs
        .map(|(first, second)| match second.total_cmp(first) {
            std::cmp::Ordering::Greater => 1,
            std::cmp::Ordering::Less => -1,
            std::cmp::Ordering::Equal => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Survival times of mice after surgery, in days (Efron and Tibshirani 1993, table 2.1).
    const TREATED: [f64; 7] = [94.0, 197.0, 16.0, 38.0, 99.0, 141.0, 23.0];

    #[test]
    fn medians_are_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
        assert_eq!(median(&TREATED), Some(94.0), "table 2.1");
    }

    /// The same table gives 37.83 as the limit of the standard error of this median for many resamples.
    #[test]
    fn the_spread_of_resampled_medians_is_the_published_one() {
        let mut rng = Rng::with_seed(1);
        let medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| resampled_median(&TREATED, &mut rng))
            .collect();
        let mean = medians.iter().sum::<f64>() / RESAMPLES as f64;
        let variance = medians.iter().map(|median| (median - mean).powi(2)).sum::<f64>() / RESAMPLES as f64;
        assert!((variance.sqrt() - 37.83).abs() < 0.8, "{}", variance.sqrt());
    }

    /// Each resampled median is one of the seven. By the binomial distribution it is 16 in 1.02 % and at most 23 in
    /// 10.8 % of all resamples, at most 99 in 89.2 % and at most 141 in 98.98 %.
    #[test]
    fn an_interval_leaves_a_fortieth_outside_on_either_side() {
        let interval = bootstrap_median(&TREATED, 7).expect("there are values");
        assert_eq!(
            (interval.low, interval.estimate, interval.high),
            (23.0, 94.0, 141.0)
        );
        assert_eq!(bootstrap_median(&TREATED, 7), Some(interval), "the same seed");
    }

    #[test]
    fn a_ratio_is_of_pairs_and_not_of_means() {
        // Each block is disturbed in its own way; the cell always takes half.
        let pairs: Vec<_> = (1..=12)
            .map(|block| (f64::from(block), 2.0 * f64::from(block)))
            .collect();
        let half = ratio(&pairs, 1).expect("positive");
        assert!((half.interval.estimate - 0.5).abs() < 1e-12);
        assert!((half.interval.high - half.interval.low).abs() < 1e-12);
        assert_eq!((half.wins, half.blocks), (12, 12));
        let turned: Vec<_> = pairs.iter().map(|(cell, baseline)| (*baseline, *cell)).collect();
        let double = ratio(&turned, 1).expect("positive");
        assert!(
            (double.interval.estimate - 2.0).abs() < 1e-12,
            "as far from one as half"
        );
        assert_eq!(ratio(&[], 1), None);
        assert_eq!(ratio(&[(0.0, 1.0)], 1), None);
    }

    #[test]
    fn a_difference_lies_outside_of_the_noise() {
        let of = |estimate: f64, spread: f64| Ratio {
            interval: Interval {
                estimate,
                low: estimate / spread,
                high: estimate * spread,
            },
            wins: 0,
            blocks: 12,
        };
        let noise = NoiseBand::of(&of(1.01, 1.04));
        assert!((noise.factor - 1.01 * 1.04).abs() < 1e-12);
        assert_eq!(of(0.80, 1.05).difference(noise), Difference::Less);
        assert_eq!(of(1.25, 1.05).difference(noise), Difference::More);
        assert_eq!(
            of(0.97, 1.01).difference(noise),
            Difference::Inconclusive,
            "within the noise"
        );
        assert_eq!(
            of(0.80, 1.30).difference(noise),
            Difference::Inconclusive,
            "it holds 1"
        );
        assert_eq!(NoiseBand::of(&of(1.0, 1.0)).factor, 1.0);
    }

    /// Noise as it is: no difference is claimed more often than 5 in 100 times, and one of 10 % is found.
    #[test]
    fn what_is_planted_is_found_and_what_is_not_there_is_not() {
        let mut rng = Rng::with_seed(42);
        let mut claimed = |planted: f64, blocks: usize| {
            let found = (0..100_u64).filter(|seed| {
                // Disturbances of a block are shared; what is left varies by some 4 %.
                let pairs: Vec<_> = (0..blocks)
                    .map(|_| {
                        let shared = 1.0 + rng.f64();
                        let mut own = || 0.94 + 0.12 * rng.f64();
                        (planted * shared * own(), shared * own())
                    })
                    .collect();
                let ratio = ratio(&pairs, *seed).expect("positive");
                ratio.difference(NoiseBand { factor: 1.0 }) != Difference::Inconclusive
            });
            found.count()
        };
        let false_ones = claimed(1.0, 12);
        assert!(false_ones <= 10, "{false_ones} of 100");
        let found = claimed(1.1, 20);
        assert!(found >= 90, "{found} of 100");
    }

    /// One lies far away, and one a little.
    #[test]
    fn what_lies_far_away_is_flagged() {
        let values = [3.2, 3.3, 3.1, 3.2, 8.7, 3.3, 3.4, 3.0, 3.2, 3.6];
        assert_eq!(outliers(&values), [4]);
        assert!(outliers(&[1.0; 8]).is_empty());
        assert!(outliers(&[]).is_empty());
    }

    #[test]
    fn a_trend_is_seen_and_chance_is_not() {
        let rising: Vec<f64> = (0..12).map(f64::from).collect();
        assert_eq!(kendall_score(&rising), 66, "12 * 11 / 2");
        assert!(has_trend(&rising));
        let falling: Vec<f64> = rising.iter().rev().copied().collect();
        assert!(has_trend(&falling));
        let mixed = [5.0, 1.0, 8.0, 3.0, 9.0, 2.0, 7.0, 4.0, 6.0, 5.5];
        assert!(!has_trend(&mixed));
        assert!(!has_trend(&rising[..9]), "too few to tell");
    }
}
