//! The picture of ratios: each cell's time as a share of the baseline's, with its interval, over the noise.

use crate::bench::report::{CellResult, Role, Verdict};
use crate::bench::stats::{Interval, Ratio};

use super::answer::findings;
use super::cells::View;
use super::markup::figure;
use super::numbers::{count, interval, ratio, ratio_range};
use super::scale::Scale;
use super::svg::{Area, Axis, Canvas, RIGHT, WIDTH, coordinate, shorten, width_of};

/// Height of the two lines of a row.
const ROW: f64 = 38.0;
/// Where rows begin.
const TOP: f64 = 6.0;
const LEFT: f64 = 6.0;

/// The picture of the group; none without any ratio to be drawn.
pub(super) fn picture(view: &View<'_>) -> Option<String> {
    let rows: Vec<Row<'_>> = view
        .cells()
        .filter(|(_, cell)| cell.role != Role::Baseline)
        .map(|(position, cell)| Row {
            position,
            cell,
            ratio: drawable(cell),
        })
        .collect();
    let scale = scale(view, &rows)?;
    let (rows, without): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.ratio.is_some());
    let area = Area {
        left: LEFT,
        top: TOP,
        right: RIGHT,
        bottom: TOP + ROW * rows.len() as f64 + 4.0,
    };
    let mut canvas = Canvas::default();
    for (number, row) in rows.iter().enumerate() {
        draw(&mut canvas, view, row, (&scale, TOP + ROW * number as f64));
    }
    canvas.axis_across(
        area,
        &Axis {
            scale: &scale,
            title: "time as a multiple of the baseline's (log₂)",
            ticks: ticks(&scale),
        },
    );
    let mut bottom = area.bottom + 46.0;
    for row in &without {
        canvas.text(
            "",
            (LEFT, bottom + 8.0),
            &shorten(&view.title(row.position), WIDTH - LEFT),
        );
        canvas.text(
            "quiet",
            (LEFT, bottom + 23.0),
            &shorten(&no_ratio(row), WIDTH - LEFT),
        );
        bottom += 36.0;
    }
    let finding = finding(view, &rows, &without);
    Some(figure(
        "Time compared with the baseline",
        &canvas.finish(bottom, &finding),
        &finding,
    ))
}

struct Row<'a> {
    position: usize,
    cell: &'a CellResult,
    ratio: Option<&'a Ratio>,
}

/// The ratio, where all of it can be drawn.
fn drawable(cell: &CellResult) -> Option<&Ratio> {
    if matches!(cell.verdict, Verdict::Invalid { .. }) {
        return None;
    }
    let found = cell.ratio.as_ref()?;
    let Interval { estimate, low, high } = found.interval;
    let usable = [estimate, low, high]
        .iter()
        .all(|value| value.is_normal() && *value > 0.0);
    usable.then_some(found)
}

/// Around all intervals, the noise and 1.
fn scale(view: &View<'_>, rows: &[Row<'_>]) -> Option<Scale> {
    let intervals = rows.iter().filter_map(|row| Some(row.ratio?.interval));
    let mut values: Vec<f64> = intervals.flat_map(|found| [found.low, found.high]).collect();
    if values.is_empty() {
        return None;
    }
    values.push(1.0);
    if let Some(noise) = &view.group.noise {
        values.extend([noise.factor, 1.0 / noise.factor]);
    }
    Scale::logarithmic(values, (LEFT, RIGHT))
}

/// Powers of two where there is room for two of them, otherwise round numbers.
fn ticks(scale: &Scale) -> Vec<(f64, String)> {
    if scale.high / scale.low < 5.0 {
        let ticks = scale.ticks(5).into_iter();
        return ticks
            .map(|tick| (tick, format!("{}×", (tick * 1e4).round() / 1e4)))
            .collect();
    }
    let powers = scale.doublings(7).into_iter();
    let text = |power: f64| {
        if power < 1.0 {
            return format!("1/{}", 1.0 / power);
        }
        format!("{power}×")
    };
    powers.map(|power| (power, text(power))).collect()
}

/// The noise and the line of equal times, behind the interval of one row only: words stay free of them.
fn ground(canvas: &mut Canvas, view: &View<'_>, scale: &Scale, top: f64) {
    let (top, bottom) = (top + 17.0, top + 35.0);
    if let Some(noise) = &view.group.noise {
        let (left, right) = (scale.place(1.0 / noise.factor), scale.place(noise.factor));
        let band = Area {
            left,
            top,
            right,
            bottom,
        };
        canvas.rectangle("band", band);
    }
    let x = scale.place(1.0);
    canvas.line("one", (x, top), (x, bottom));
}

fn draw(canvas: &mut Canvas, view: &View<'_>, row: &Row<'_>, (scale, top): (&Scale, f64)) {
    let Some(found) = row.ratio else { return };
    let Interval { estimate, low, high } = found.interval;
    let figures = format!(
        "{} [{}]",
        ratio(estimate),
        ratio_range(&found.interval).replace(" to ", ", ")
    );
    let name = match row.cell.role {
        Role::Twin => view.title(row.position),
        _ => format!("{} · {}", view.title(row.position), View::word(row.cell)),
    };
    ground(canvas, view, scale, top);
    let room = WIDTH - width_of(&figures) - 8.0;
    canvas.text("", (LEFT, top + 13.0), &shorten(&name, room));
    canvas.text("end strong", (RIGHT, top + 13.0), &figures);
    let y = top + 26.0;
    let (from, to) = (scale.place(low), scale.place(high));
    let look = match row.cell.verdict {
        Verdict::Faster => "look0",
        Verdict::Slower => "look1",
        _ => "look5",
    };
    if matches!(row.cell.verdict, Verdict::Suspect { .. }) {
        let box_around = Area {
            left: from,
            top: y - 6.0,
            right: to,
            bottom: y + 6.0,
        };
        canvas.rectangle("hatched", box_around);
    }
    let whisker = format!("whisker {look}");
    canvas.line(&whisker, (from, y), (to, y));
    for end in [from, to] {
        canvas.line(&whisker, (end, y - 4.0), (end, y + 4.0));
    }
    let hollow = if row.cell.role == Role::Twin {
        " hollow"
    } else {
        ""
    };
    let x = coordinate(scale.place(estimate) - 4.5);
    canvas.path(
        &format!("mark {look}{hollow}"),
        &format!("M{x},{}a4.5,4.5 0 1 0 9,0a4.5,4.5 0 1 0 -9,0Z", coordinate(y)),
    );
}

fn no_ratio(row: &Row<'_>) -> String {
    let reason = findings(row.cell)
        .first()
        .map_or("nothing to divide", |finding| finding.reason.as_str());
    format!("no ratio: {}", reason.trim_end_matches('.'))
}

fn finding(view: &View<'_>, rows: &[Row<'_>], without: &[Row<'_>]) -> String {
    let mut text = match lowest(rows) {
        Some((row, found)) => format!(
            "{} takes {} of the baseline's time, {}; it took less in {} of {}",
            view.name(row.position),
            ratio(found.interval.estimate),
            interval(&found.interval),
            found.wins,
            count(found.blocks, "block"),
        ),
        None => "Only the baseline itself has a ratio".to_owned(),
    };
    text += &match &view.group.noise {
        Some(noise) => format!(
            "; the noise band (grey) is {} to {}.",
            ratio(1.0 / noise.factor),
            ratio(noise.factor)
        ),
        None => "; the noise is not known, so this is no verdict.".to_owned(),
    };
    text += &verdicts(rows);
    if rows.iter().any(|row| row.cell.role == Role::Twin) {
        text += " The hollow mark is the baseline compared with itself.";
    }
    for row in without {
        text += &format!(" {}: {}.", view.name(row.position), no_ratio(row));
    }
    text
}

/// The candidate that takes least; suspect ones only where there are no others.
fn lowest<'a>(rows: &'a [Row<'a>]) -> Option<(&'a Row<'a>, &'a Ratio)> {
    let candidates = rows.iter().filter(|row| row.cell.role == Role::Candidate);
    let with_ratio = candidates.filter_map(|row| Some((row, row.ratio?)));
    with_ratio.min_by(|(a, first), (b, second)| {
        let suspect = |row: &Row<'_>| matches!(row.cell.verdict, Verdict::Suspect { .. });
        let by_trust = suspect(a).cmp(&suspect(b));
        by_trust.then(first.interval.estimate.total_cmp(&second.interval.estimate))
    })
}

fn verdicts(rows: &[Row<'_>]) -> String {
    let number = |wanted: fn(&Verdict) -> bool| rows.iter().filter(|row| wanted(&row.cell.verdict)).count();
    let parts: Vec<String> = [
        (
            number(|verdict| *verdict == Verdict::Faster),
            "faster beyond noise",
        ),
        (
            number(|verdict| *verdict == Verdict::Slower),
            "slower beyond noise",
        ),
        (
            number(|verdict| matches!(verdict, Verdict::Inconclusive { .. })),
            "inconclusive",
        ),
        (
            number(|verdict| matches!(verdict, Verdict::Suspect { .. })),
            "suspect (hatched)",
        ),
        (
            number(|verdict| *verdict == Verdict::DirectionOnly),
            "a direction only",
        ),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{number} {what}"))
    .collect();
    if parts.is_empty() {
        return String::new();
    }
    format!(" Of all with a ratio: {}.", parts.join(", "))
}
