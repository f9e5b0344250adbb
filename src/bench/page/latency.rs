//! The pictures of latency: how long the slowest share of requests took, for each kind of waiting by itself.

use crate::bench::report::{Latencies, Percentiles, Role};

use super::cells::{View, is_sound, letter};
use super::markup::figure;
use super::numbers::{maybe_seconds, seconds, short};
use super::scale::Scale;
use super::svg::{Area, Axis, Canvas, LINE, Place, RIGHT, Sample, line_class, shorten, width_of};

/// Values that must lie beyond a percentile for it to be drawn: p95 from 200 on, p99 from 1,000, p99.9 from 10,000.
const BEYOND: f64 = 10.0;
const AREA: Area = Area {
    left: 50.0,
    top: 26.0,
    right: RIGHT - 10.0,
    bottom: 206.0,
};
/// Shares that the axis marks.
const SHARES: [(f64, &str); 5] = [
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
];

/// A kind of waiting.
struct Kind {
    title: &'static str,
    /// What the axis says.
    axis: &'static str,
    /// What a value belongs to: "95 of 100 ... take".
    each: &'static str,
    of: fn(&Latencies) -> &Percentiles,
    note: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind {
        title: "Service time of an object",
        axis: "service time (log)",
        each: "objects",
        of: |latencies| &latencies.service,
        note: " It runs from taking a task to its outcome.",
    },
    Kind {
        title: "Waiting in the queue",
        axis: "queue wait (log)",
        each: "objects",
        of: |latencies| &latencies.queue_wait,
        note: " It runs from finding a file to taking its task; where all files are there at once, waiting is no fault.",
    },
    Kind {
        title: "Making a connection",
        axis: "time to connect (log)",
        each: "connections",
        of: |latencies| &latencies.connect,
        note: "",
    },
    Kind {
        title: "Waiting for the answer",
        axis: "wait for the answer (log)",
        each: "requests",
        of: |latencies| &latencies.ack_wait,
        note: " It runs from the last byte that was taken; this is not the server's time, for bytes in buffers were taken, too.",
    },
];

/// Where a share stands: as far as there are tens, hundreds, thousands of values for one beyond.
fn odds(share: f64) -> f64 {
    1.0 / (1.0 - share)
}

/// One picture for each kind of which there are values.
pub(super) fn pictures(view: &View<'_>) -> Vec<String> {
    KINDS.iter().filter_map(|kind| picture(view, kind)).collect()
}

/// What of a curve may be drawn.
fn drawable(percentiles: &Percentiles) -> Vec<(f64, f64)> {
    let count = percentiles.count as f64;
    let mut points: Vec<(f64, f64)> = percentiles
        .curve
        .iter()
        .copied()
        .filter(|(share, value)| (0.0..1.0).contains(share) && value.is_normal() && *value > 0.0)
        .filter(|(share, _)| *share <= 0.5 || count * (1.0 - share) >= BEYOND)
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

struct Curve {
    position: usize,
    points: Vec<(f64, f64)>,
}

fn picture(view: &View<'_>, kind: &Kind) -> Option<String> {
    let curves: Vec<Curve> = view
        .cells()
        .filter(|(_, cell)| cell.role != Role::Twin || view.group.cells.len() <= 2)
        .map(|(position, cell)| Curve {
            position,
            points: drawable((kind.of)(&cell.latencies)),
        })
        .filter(|curve| !curve.points.is_empty())
        .collect();
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let up = Scale::logarithmic(points().map(|(_, value)| *value), (AREA.bottom, AREA.top))?;
    let furthest = points().map(|(share, _)| odds(*share)).max_by(f64::total_cmp)?;
    // Half of all values at least, so that there is an axis even for a curve of one point.
    let across = Scale::logarithmic([1.0, furthest.max(10.0)], (AREA.left - 12.0, AREA.right))?;
    let mut canvas = Canvas::default();
    axes(&mut canvas, kind, &across, &up);
    let mut taken = Vec::new();
    for curve in curves.iter().filter(|curve| view.look(curve.position).is_none()) {
        draw(&mut canvas, view, curve, &across, &up, &mut taken);
    }
    for curve in curves.iter().filter(|curve| view.look(curve.position).is_some()) {
        draw(&mut canvas, view, curve, &across, &up, &mut taken);
    }
    let bottom = key(&mut canvas, view, kind, &curves);
    let finding = finding(view, kind, &curves)?;
    Some(figure(kind.title, &canvas.finish(bottom, &finding), &finding))
}

fn axes(canvas: &mut Canvas, kind: &Kind, across: &Scale, up: &Scale) {
    let shares = SHARES.iter().filter(|(share, _)| across.holds(odds(*share)));
    let ticks = shares.map(|(share, text)| (odds(*share), (*text).to_owned()));
    let up_ticks = up.ticks(6).into_iter();
    canvas.axes(
        AREA,
        &Axis {
            scale: across,
            title: &format!("share of {} that took at most this, 1/(1−p)", kind.each),
            ticks: ticks.collect(),
        },
        &Axis {
            scale: up,
            title: kind.axis,
            ticks: up_ticks.map(|tick| (tick, short(&seconds(tick)))).collect(),
        },
    );
}

/// A line, and the letter of the cell at its end where there is room for it.
fn draw(
    canvas: &mut Canvas,
    view: &View<'_>,
    curve: &Curve,
    across: &Scale,
    up: &Scale,
    taken: &mut Vec<Place>,
) {
    let look = view.look(curve.position);
    let places: Vec<Place> = curve
        .points
        .iter()
        .map(|(share, value)| (across.place(odds(*share)), up.place(*value)))
        .collect();
    canvas.line_through(&line_class(look), &places);
    let (Some(_), Some(end)) = (look, places.last()) else {
        return;
    };
    // Letters of curves that end together stand side by side, from the end to the left.
    let width = width_of(&letter(view.group.cells.len())) + 5.0;
    let mut at = (end.0 + 8.0, end.1 + 4.0);
    while taken
        .iter()
        .any(|(x, y): &Place| (x - at.0).abs() < width && (y - at.1).abs() < 12.0)
    {
        at.0 -= width;
        if at.0 < AREA.left + width {
            break;
        }
    }
    taken.push(at);
    canvas.text("middle strong halo", at, &letter(curve.position));
}

/// What each line stands for, and its figures in a column of their own; where it ends.
fn key(canvas: &mut Canvas, view: &View<'_>, kind: &Kind, curves: &[Curve]) -> f64 {
    let mut y = AREA.bottom + 3.0 * LINE + 4.0;
    canvas.text("end quiet", (RIGHT, y), "p50 / p95");
    y += LINE - 2.0;
    for curve in curves.iter().filter(|curve| view.look(curve.position).is_some()) {
        let percentiles = (kind.of)(&view.group.cells[curve.position].latencies);
        let figures = format!(
            "{} / {}",
            maybe_seconds(percentiles.p50),
            maybe_seconds(percentiles.p95)
        );
        let title = shorten(&view.title(curve.position), RIGHT - 44.0 - width_of(&figures));
        canvas.text("end", (RIGHT, y + 4.0), &figures);
        y = canvas.key(y, &[(Sample::Line(view.look(curve.position)), title)]);
    }
    y
}

/// The cells with the lowest and the highest figure: of 95 in 100 where there are enough values, else of half of them.
fn finding(view: &View<'_>, kind: &Kind, curves: &[Curve]) -> Option<String> {
    let figures = |of: fn(&Percentiles) -> Option<f64>| -> Vec<(usize, f64)> {
        let cells = curves.iter().filter_map(|curve| {
            let cell = &view.group.cells[curve.position];
            let value = of((kind.of)(&cell.latencies))?;
            is_sound(cell).then_some((curve.position, value))
        });
        cells.filter(|(_, value)| value.is_finite()).collect()
    };
    let of_95 = figures(|percentiles| percentiles.p95);
    let (share, found) = if of_95.is_empty() {
        ("Half of the", figures(|percentiles| percentiles.p50))
    } else {
        ("95 of 100", of_95)
    };
    let note = format!("{}{}", kind.note, view.about_the_faint());
    let Some(least) = found.iter().min_by(|a, b| a.1.total_cmp(&b.1)) else {
        return Some(format!(
            "No valid cell has enough {} for a percentile.{note}",
            kind.each
        ));
    };
    let most = found.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let mut text = format!(
        "{share} {} took at most {} with {}",
        kind.each,
        seconds(least.1),
        view.name(least.0)
    );
    text += &if most.0 == least.0 {
        ".".to_owned()
    } else {
        format!(" and at most {} with {}.", seconds(most.1), view.name(most.0))
    };
    Some(text + &note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_count_does_not_allow_is_not_drawn() {
        let percentiles = Percentiles {
            count: 1_000,
            curve: vec![
                (0.1, 0.0),
                (0.5, 0.01),
                (0.95, 0.02),
                (0.99, 0.03),
                (0.999, 9.0),
                (1.0, 10.0),
            ],
            ..Percentiles::default()
        };
        let shares: Vec<f64> = drawable(&percentiles).iter().map(|point| point.0).collect();
        assert_eq!(shares, [0.5, 0.95, 0.99]);
        let few = Percentiles {
            count: 3,
            curve: vec![(0.5, 0.01), (0.9, 0.02)],
            ..Percentiles::default()
        };
        assert_eq!(drawable(&few).len(), 1);
    }
}
