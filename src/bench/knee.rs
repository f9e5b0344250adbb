//! The knee of a sweep: the fewest requests in flight from which on more of them gain next to nothing.

use super::stats::Interval;

/// Share of the best rate that is as good as the best.
const AS_GOOD: f64 = 0.95;

/// One measurement of a sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KneePoint {
    /// Requests in flight.
    pub in_flight: usize,
    /// Objects a second.
    pub rate: Interval,
}

/// The smallest number in flight whose whole interval reaches 95 % of the best median; none without points, and where
/// intervals are too wide for any to reach it.
pub fn knee(points: &[KneePoint]) -> Option<usize> {
    let rates = points.iter().map(|point| point.rate.estimate);
    let best = rates
        .filter(|rate| rate.is_finite() && *rate > 0.0)
        .max_by(f64::total_cmp)?;
    let good = points.iter().filter(|point| point.rate.low >= AS_GOOD * best);
    good.map(|point| point.in_flight).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(in_flight: usize, estimate: f64, spread: f64) -> KneePoint {
        KneePoint {
            in_flight,
            rate: Interval {
                estimate,
                low: estimate / spread,
                high: estimate * spread,
            },
        }
    }

    #[test]
    fn the_knee_is_the_first_that_is_as_good_as_the_best() {
        let points = [
            point(64, 1_000.0, 1.01),
            point(16, 630.0, 1.01),
            point(32, 980.0, 1.02),
            point(128, 940.0, 1.01),
        ];
        assert_eq!(knee(&points), Some(32), "whatever their order");
        let vague = [point(32, 980.0, 1.10), point(64, 1_000.0, 1.01)];
        assert_eq!(
            knee(&vague),
            Some(64),
            "an interval that reaches lower does not count"
        );
    }

    #[test]
    fn without_certainty_there_is_no_knee() {
        assert_eq!(knee(&[]), None);
        assert_eq!(knee(&[point(1, 100.0, 1.5), point(2, 110.0, 1.5)]), None);
        assert_eq!(knee(&[point(1, f64::NAN, 1.0), point(2, 0.0, 1.0)]), None);
        assert_eq!(knee(&[point(8, f64::INFINITY, 1.0), point(4, 5.0, 1.0)]), Some(4));
    }
}
