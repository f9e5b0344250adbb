//! From values to places on paper: straight and logarithmic axes, and where their ticks stand.

/// How an axis grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// By equal steps.
    Linear,
    /// By equal factors.
    Logarithmic,
}

/// A range of values and the range of places that it is drawn on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Smallest value.
    pub(super) low: f64,
    /// Largest value.
    pub(super) high: f64,
    growth: Growth,
    from: f64,
    to: f64,
}

impl Scale {
    /// From zero to a little more than the largest of `values`; none without one above zero.
    pub(super) fn from_zero(values: impl IntoIterator<Item = f64>, places: (f64, f64)) -> Option<Self> {
        let usable = values
            .into_iter()
            .filter(|value| value.is_finite() && *value > 0.0);
        let largest = usable.max_by(f64::total_cmp)?;
        Self::new(Growth::Linear, (0.0, largest * 1.04), places)
    }

    /// Around `values`, with a little room on both sides; none without one above zero.
    pub(super) fn logarithmic(values: impl IntoIterator<Item = f64>, places: (f64, f64)) -> Option<Self> {
        let usable: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_normal() && *value > 0.0)
            .collect();
        let low = usable.iter().copied().min_by(f64::total_cmp)?;
        let high = usable.iter().copied().max_by(f64::total_cmp)?;
        let room = (high / low).powf(0.05).clamp(1.06, 2.0);
        Self::new(Growth::Logarithmic, (low / room, high * room), places)
    }

    /// From `values.0` to `values.1` on `places.0` to `places.1`; none where that is no range.
    pub(super) fn new(growth: Growth, values: (f64, f64), places: (f64, f64)) -> Option<Self> {
        let (low, high) = values;
        let usable = low.is_finite() && high.is_finite() && high > low;
        let grows = growth == Growth::Linear || low > 0.0;
        (usable && grows).then_some(Self {
            low,
            high,
            growth,
            from: places.0,
            to: places.1,
        })
    }

    /// Where `value` stands; values beyond an end stand at that end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = match self.growth {
            Growth::Linear => (value - self.low) / (self.high - self.low),
            Growth::Logarithmic => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        self.from + share * (self.to - self.from)
    }

    /// True when `value` can be drawn without moving it.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Round values within the range, at most about `most`.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        if self.growth == Growth::Linear || self.high / self.low < 5.0 {
            return even(self.low, self.high, most);
        }
        let steps: [&[f64]; 3] = [&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        let sets = steps.iter().map(|steps| decades(self.low, self.high, steps, 1));
        if let Some(fitting) = sets.into_iter().find(|ticks| ticks.len() <= most) {
            return fitting;
        }
        let every = ((self.high / self.low).log10() / most as f64).ceil().max(2.0);
        decades(self.low, self.high, &[1.0], every as usize)
    }

    /// Powers of two within the range, at most about `most`.
    pub(super) fn doublings(&self, most: usize) -> Vec<f64> {
        let first = self.low.log2().ceil() as i32;
        let last = self.high.log2().floor() as i32;
        let powers = (last - first + 1).max(0) as usize;
        let every = powers.div_ceil(most.max(1)).max(1);
        let powers = (first..=last).filter(|power| power.rem_euclid(every as i32) == 0);
        powers.map(|power| 2_f64.powi(power)).collect()
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn even(low: f64, high: f64, most: usize) -> Vec<f64> {
    let raw = (high - low) / most.max(1) as f64;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= raw * 0.999)
        .unwrap_or(raw);
    let first = (low / step - 1e-9).ceil();
    let ticks = (0..=most + 1).map(|number| (first + number as f64) * step);
    ticks.filter(|tick| *tick <= high * (1.0 + 1e-9)).collect()
}

/// `steps` of every `every`th power of ten.
fn decades(low: f64, high: f64, steps: &[f64], every: usize) -> Vec<f64> {
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let powers = (first..=last).filter(|power| power.rem_euclid(every as i32) == 0);
    powers
        .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
        .filter(|tick| (low..=high).contains(tick))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_where_they_belong() {
        let linear = Scale::new(Growth::Linear, (0.0, 10.0), (100.0, 0.0)).expect("a range");
        assert!((linear.place(2.5) - 75.0).abs() < 1e-9);
        assert!((linear.place(99.0) - 0.0).abs() < 1e-9, "at the end");
        let log = Scale::new(Growth::Logarithmic, (1.0, 100.0), (0.0, 200.0)).expect("a range");
        assert!((log.place(10.0) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_range_is_no_scale() {
        assert!(Scale::from_zero([f64::NAN, 0.0, -1.0], (0.0, 1.0)).is_none());
        assert!(Scale::logarithmic([0.0, f64::INFINITY], (0.0, 1.0)).is_none());
        assert!(Scale::new(Growth::Logarithmic, (0.0, 1.0), (0.0, 1.0)).is_none());
        assert!(
            Scale::logarithmic([3.0], (0.0, 1.0)).is_some(),
            "one value has room around it"
        );
    }

    #[test]
    fn ticks_are_round_and_few() {
        let linear = Scale::new(Growth::Linear, (0.0, 1_040.0), (0.0, 1.0)).expect("a range");
        assert_eq!(linear.ticks(5), [0.0, 500.0, 1_000.0]);
        let log = Scale::new(Growth::Logarithmic, (0.9, 2_000.0), (0.0, 1.0)).expect("a range");
        assert_eq!(log.ticks(5), [1.0, 10.0, 100.0, 1_000.0]);
        let wide = Scale::new(Growth::Logarithmic, (1e-9, 1e9), (0.0, 1.0)).expect("a range");
        assert!((2..=7).contains(&wide.ticks(5).len()), "{:?}", wide.ticks(5));
        let doubled = Scale::new(Growth::Logarithmic, (0.9, 140.0), (0.0, 1.0)).expect("a range");
        assert_eq!(
            doubled.doublings(8),
            [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
        );
    }
}
