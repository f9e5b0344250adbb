//! The picture of a sweep: rate and latency against requests in flight, the bound, the knee, and busy processors.

use crate::bench::cell::Cell;
use crate::bench::knee::{KneePoint, knee};
use crate::bench::report::{CellResult, Figures, Role};
use crate::bench::stats::Interval;

use super::cells::View;
use super::cpu::{SATURATED, taken};
use super::markup::figure;
use super::numbers::{GLUE, list, percent, seconds, short, significant};
use super::scale::Scale;
use super::svg::{Area, Axis, Canvas, LINE, Place, RIGHT, Sample, width_of};

/// Different numbers in flight that make a sweep.
const FEWEST: usize = 3;
const LEFT: f64 = 50.0;
const RATES: Area = Area {
    left: LEFT,
    top: 44.0,
    right: RIGHT - 6.0,
    bottom: 200.0,
};

/// Cells that differ in nothing but their requests in flight.
pub(super) struct Family {
    /// What they have in common.
    pub(super) name: String,
    /// Requests in flight and position of the cell, rising.
    pub(super) members: Vec<(usize, usize)>,
}

/// An axis of requests in flight.
pub(super) struct InFlight {
    pub(super) scale: Scale,
    ticks: Vec<(f64, String)>,
}

impl InFlight {
    /// The axis under `title`.
    pub(super) fn axis<'a>(&'a self, title: &'a str) -> Axis<'a> {
        Axis {
            scale: &self.scale,
            title,
            ticks: self.ticks.clone(),
        }
    }
}

/// An axis over `numbers`, each doubling as far from the last; none without any.
pub(super) fn in_flight_axis(numbers: impl Iterator<Item = usize>, area: Area) -> Option<InFlight> {
    let numbers = numbers.map(|number| number as f64);
    let scale = Scale::logarithmic(numbers, (area.left + 2.0, area.right))?;
    let ticks = scale.doublings(10).into_iter();
    let ticks = ticks.map(|tick| (tick, format!("{tick}"))).collect();
    Some(InFlight { scale, ticks })
}

/// All sweeps of the group.
pub(super) fn families(view: &View<'_>) -> Vec<Family> {
    let mut found: Vec<(Cell, Vec<(usize, usize)>)> = Vec::new();
    for (position, result, _) in view.sound().filter(|(_, cell, _)| cell.role != Role::Twin) {
        let Some(in_flight) = result.cell.concurrency.filter(|number| *number > 0) else {
            continue;
        };
        let common = result.cell.family();
        match found.iter_mut().find(|(cell, _)| *cell == common) {
            Some((_, members)) => members.push((in_flight, position)),
            None => found.push((common, vec![(in_flight, position)])),
        }
    }
    let families = found.into_iter().map(|(cell, mut members)| {
        members.sort_unstable();
        members.dedup_by_key(|member| member.0);
        Family {
            name: cell.label(),
            members,
        }
    });
    families.filter(|family| family.members.len() >= FEWEST).collect()
}

/// One number in flight of a sweep.
struct Step {
    in_flight: usize,
    rate: Interval,
    bound: Option<f64>,
    p95: Option<f64>,
    is_saturated: bool,
    /// From which number on the model expects no more.
    expected: Option<f64>,
}

impl Step {
    fn of(in_flight: usize, cell: &CellResult, figures: &Figures) -> Option<Self> {
        let objects = cell.objects_per_job as f64;
        let rate = cell.rate()?;
        let usable = |value: f64| value.is_finite() && value > 0.0;
        let model = cell.model.as_ref();
        usable(rate.estimate).then_some(Self {
            in_flight,
            rate,
            bound: model
                .map(|model| objects / model.makespan)
                .filter(|bound| usable(*bound)),
            p95: cell.latencies.service.p95.filter(|p95| usable(*p95)),
            is_saturated: taken(figures) >= SATURATED,
            expected: model.and_then(|model| model.knee).filter(|knee| usable(*knee)),
        })
    }
}

/// One picture for each sweep of the group.
pub(super) fn pictures(view: &View<'_>) -> Vec<String> {
    families(view)
        .iter()
        .filter_map(|family| picture(view, family))
        .collect()
}

fn picture(view: &View<'_>, family: &Family) -> Option<String> {
    let steps: Vec<Step> = family
        .members
        .iter()
        .filter_map(|(in_flight, position)| {
            let cell = view.group.cells.get(*position)?;
            Step::of(*in_flight, cell, cell.figures.as_ref()?)
        })
        .collect();
    let across = in_flight_axis(steps.iter().map(|step| step.in_flight), RATES)?;
    let knee = knee(&knee_points(&steps));
    let mut canvas = Canvas::default();
    let key = rates(&mut canvas, &steps, &across, knee)?;
    let latency = Area {
        top: RATES.bottom + 56.0,
        bottom: RATES.bottom + 156.0,
        ..RATES
    };
    let has_latency = latencies(&mut canvas, &steps, &across, latency).is_some();
    let bottom = if has_latency { latency.bottom } else { RATES.bottom };
    let end = canvas.key(bottom + 3.0 * LINE + 2.0, &key);
    let finding = finding(&family.name, &steps, knee)?;
    Some(figure(
        &format!("How many in flight: {}", family.name),
        &canvas.finish(end, &finding),
        &finding,
    ))
}

fn knee_points(steps: &[Step]) -> Vec<KneePoint> {
    let points = steps.iter().map(|step| KneePoint {
        in_flight: step.in_flight,
        rate: step.rate,
    });
    points.collect()
}

type Key = Vec<(Sample, String)>;

fn rates(canvas: &mut Canvas, steps: &[Step], across: &InFlight, knee: Option<usize>) -> Option<Key> {
    let measured = steps
        .iter()
        .flat_map(|step| [step.rate.estimate, step.rate.high])
        .filter(|rate| rate.is_finite());
    let best = measured.max_by(f64::total_cmp)?;
    // A bound far above all measurements would press them to the bottom: it leaves the picture at the top.
    let bounds = steps
        .iter()
        .filter_map(|step| step.bound)
        .map(|bound| bound.min(1.5 * best));
    let up = Scale::from_zero(bounds.chain([best]), (RATES.bottom, RATES.top))?;
    let mut key = vec![(
        Sample::Both(Some(0)),
        format!("measured, with its 95{GLUE}% interval"),
    )];
    if shade(canvas, steps, across) {
        let words = format!("client, server and relay take {} and more", percent(SATURATED));
        key.push((Sample::Fill("shade"), words));
    }
    let ticks = up
        .ticks(5)
        .into_iter()
        .map(|tick| (tick, short(&significant(tick))));
    canvas.axes(
        RATES,
        &across.axis(""),
        &Axis {
            scale: &up,
            title: "objects a second",
            ticks: ticks.collect(),
        },
    );
    if bound_line(canvas, steps, across, &up) {
        key.push((Sample::Rule("bound"), "the most that the model allows".to_owned()));
    }
    if let Some(knee) = knee {
        let x = across.scale.place(knee as f64);
        let is_last = steps.last().is_some_and(|step| step.in_flight == knee);
        let label = format!("knee: {knee}{}", if is_last { " or more" } else { "" });
        let half = width_of(&label) / 2.0;
        canvas.line("rule", (x, RATES.top - 17.0), (x, RATES.bottom));
        canvas.text("middle strong", (x.min(RIGHT - half), RATES.top - 24.0), &label);
        key.push((Sample::Rule("rule"), "knee".to_owned()));
    }
    measurements(canvas, steps, across, &up);
    Some(key)
}

/// The rates with their intervals.
fn measurements(canvas: &mut Canvas, steps: &[Step], across: &InFlight, up: &Scale) {
    let places: Vec<Place> = steps
        .iter()
        .map(|step| {
            (
                across.scale.place(step.in_flight as f64),
                up.place(step.rate.estimate),
            )
        })
        .collect();
    canvas.line_through("curve look0", &places);
    for (step, place) in steps.iter().zip(&places) {
        let (low, high) = (up.place(step.rate.low), up.place(step.rate.high));
        canvas.line("whisker thin look0", (place.0, low), (place.0, high));
        let hint = format!(
            "{} in flight: {} objects a second",
            step.in_flight,
            significant(step.rate.estimate)
        );
        canvas.mark(Some(0), *place, &hint);
    }
}

/// Shades where the processors are the limit, half way to the neighbours; whether there is such a place.
fn shade(canvas: &mut Canvas, steps: &[Step], across: &InFlight) -> bool {
    let x = |position: usize| across.scale.place(steps[position].in_flight as f64);
    let mut any = false;
    for (position, _) in steps.iter().enumerate().filter(|(_, step)| step.is_saturated) {
        let left = match position {
            0 => RATES.left,
            _ => f64::midpoint(x(position - 1), x(position)),
        };
        let right = match position + 1 {
            last if last == steps.len() => RATES.right,
            next => f64::midpoint(x(position), x(next)),
        };
        canvas.rectangle("shade", Area { left, right, ..RATES });
        any = true;
    }
    any
}

/// The bound, cut off where it leaves the picture; whether there is one.
fn bound_line(canvas: &mut Canvas, steps: &[Step], across: &InFlight, up: &Scale) -> bool {
    let bounds: Vec<(f64, f64)> = steps
        .iter()
        .filter_map(|step| Some((across.scale.place(step.in_flight as f64), step.bound?)))
        .collect();
    for pair in bounds.windows(2) {
        let (mut from, mut to) = (pair[0], pair[1]);
        if !up.holds(from.1) && !up.holds(to.1) {
            continue;
        }
        let crossing = from.0 + (to.0 - from.0) * (up.high - from.1) / (to.1 - from.1);
        if !up.holds(from.1) {
            from = (crossing, up.high);
        } else if !up.holds(to.1) {
            to = (crossing, up.high);
        }
        canvas.line("bound", (from.0, up.place(from.1)), (to.0, up.place(to.1)));
    }
    bounds.len() > 1
}

fn latencies(canvas: &mut Canvas, steps: &[Step], across: &InFlight, area: Area) -> Option<()> {
    let values = steps.iter().filter_map(|step| step.p95);
    let up = Scale::from_zero(values, (area.bottom, area.top))?;
    let ticks = up.ticks(3).into_iter();
    canvas.axes(
        area,
        &across.axis("requests in flight (log₂)"),
        &Axis {
            scale: &up,
            title: "service time, 95 of 100 objects",
            ticks: ticks.map(|tick| (tick, short(&seconds(tick)))).collect(),
        },
    );
    let places = steps.iter().filter_map(|step| {
        Some((
            across.scale.place(step.in_flight as f64),
            up.place(step.p95?),
            step.p95?,
        ))
    });
    let places: Vec<_> = places.collect();
    let line: Vec<Place> = places.iter().map(|(x, y, _)| (*x, *y)).collect();
    canvas.line_through("curve look0", &line);
    for (x, y, value) in places {
        canvas.mark(Some(0), (x, y), &seconds(value));
    }
    Some(())
}

fn finding(name: &str, steps: &[Step], knee: Option<usize>) -> Option<String> {
    let best = steps
        .iter()
        .max_by(|a, b| a.rate.estimate.total_cmp(&b.rate.estimate))?;
    let last = steps.last()?;
    let mut text = match knee {
        Some(knee) if knee == last.in_flight => format!(
            "{name}: the rate still rises up to the largest number measured, {} objects a second with {}; more may be \
             better still.",
            significant(best.rate.estimate),
            best.in_flight
        ),
        Some(knee) if knee == best.in_flight => format!(
            "{name}: {knee} in flight are the best, with {} objects a second; no smaller number is surely as good.",
            significant(best.rate.estimate)
        ),
        Some(knee) => format!(
            "{name}: {knee} in flight are enough; the best, {} objects a second with {}, is hardly more.",
            significant(best.rate.estimate),
            best.in_flight
        ),
        None => format!(
            "{name}: the best is {} objects a second with {} in flight; intervals are too wide to tell a knee.",
            significant(best.rate.estimate),
            best.in_flight
        ),
    };
    if let Some(expected) = best.expected {
        text += &format!(
            " The model expects the knee at {}.",
            short(&significant(expected))
        );
    }
    if last.in_flight != best.in_flight {
        let less = 1.0 - last.rate.estimate / best.rate.estimate;
        text += &format!(
            " With {} it is {} less than the best.",
            last.in_flight,
            percent(less)
        );
    }
    let saturated: Vec<String> = steps
        .iter()
        .filter(|step| step.is_saturated)
        .map(|step| step.in_flight.to_string())
        .collect();
    if !saturated.is_empty() {
        text += &format!(
            " The processors are the limit with {} in flight.",
            list(&saturated)
        );
    }
    Some(text)
}
