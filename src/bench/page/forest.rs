//! The picture of ratios: each cell's time as a share of the baseline's, with its interval, over the noise.

use crate::bench::report::{CellResult, Role, Verdict};
use crate::bench::stats::{Interval, Ratio};

use super::answer::findings;
use super::cells::View;
use super::markup::figure;
use super::numbers::{count, interval, ratio, ratio_range, significant};
use super::scale::Scale;
use super::svg::{Area, Axis, Canvas, LINE, RIGHT, WIDTH, coordinate, shorten, width_of, wrapped};

/// Height of an interval with what is behind it.
const GROUND: f64 = 21.0;
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
    let mut canvas = Canvas::default();
    let mut top = TOP;
    for row in &rows {
        top = draw(&mut canvas, view, row, &scale, top);
    }
    let area = Area {
        left: LEFT,
        top: TOP,
        right: RIGHT,
        bottom: top + 4.0,
    };
    canvas.axis_across(
        area,
        &Axis {
            scale: &scale,
            title: "time as a multiple of the baseline's (log₂)",
            ticks: ticks(&scale),
        },
    );
    let bottom = list_without(&mut canvas, view, &without, area.bottom + 54.0);
    let finding = finding(view, &rows, &without);
    Some(figure(
        "Time compared with the baseline",
        &canvas.finish(bottom, &finding),
        &finding,
    ))
}

/// Cells without a ratio and the reasons for it, from `top` on; where they end.
fn list_without(canvas: &mut Canvas, view: &View<'_>, rows: &[Row<'_>], top: f64) -> f64 {
    let mut y = top;
    for row in rows {
        let title = shorten(&view.title(row.position), WIDTH - LEFT);
        canvas.text("", (LEFT, y), &title);
        y += LINE;
        for line in wrapped(&no_ratio(row), WIDTH - LEFT) {
            canvas.text("quiet", (LEFT, y), &line);
            y += LINE;
        }
        y += 4.0;
    }
    // Text stands on its line, so the last one needs no more than what hangs below it.
    y - LINE + 6.0
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
        let whole = power.max(1.0 / power);
        let number = match whole {
            ..1e6 => format!("{whole}"),
            _ => significant(whole),
        };
        if power < 1.0 {
            return format!("1/{number}");
        }
        format!("{number}×")
    };
    powers.map(|power| (power, text(power))).collect()
}

/// The noise and the line of equal times, behind the interval of one row only: words stay free of them. Hatched where
/// the ratio is not to be trusted.
fn ground(canvas: &mut Canvas, view: &View<'_>, row: &Row<'_>, scale: &Scale, top: f64) {
    let bottom = top + GROUND - 2.0;
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
    if matches!(row.cell.verdict, Verdict::Suspect { .. }) {
        let whole = Area {
            left: LEFT,
            top,
            right: RIGHT,
            bottom,
        };
        canvas.rectangle("shade", whole);
    }
    let x = scale.place(1.0);
    canvas.line("one", (x, top), (x, bottom));
}

/// Draws a row from `top` on; where it ends.
fn draw(canvas: &mut Canvas, view: &View<'_>, row: &Row<'_>, scale: &Scale, top: f64) -> f64 {
    let Some(found) = row.ratio else { return top };
    let Interval { estimate, low, high } = found.interval;
    let top = words(canvas, view, row, &found.interval, top);
    ground(canvas, view, row, scale, top);
    let y = top + 9.0;
    let (from, to) = (scale.place(low), scale.place(high));
    let look = match row.cell.verdict {
        Verdict::Faster => "look0",
        Verdict::Slower => "look1",
        _ => "look5",
    };
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
    top + GROUND
}

/// Name, verdict and figures of a row: in one line, or in two where one is too short; where they end.
fn words(canvas: &mut Canvas, view: &View<'_>, row: &Row<'_>, found: &Interval, top: f64) -> f64 {
    let range = ratio_range(found).replace(" to ", ", ");
    let figures = format!("{} [{range}]", ratio(found.estimate));
    let name = view.title(row.position);
    let verdict = match row.cell.role {
        Role::Twin => "",
        _ => View::word(row.cell),
    };
    let whole = match verdict {
        "" => name.clone(),
        verdict => format!("{name} · {verdict}"),
    };
    let first = top + 13.0;
    if width_of(&whole) + width_of(&figures) < RIGHT - LEFT {
        canvas.text("", (LEFT, first), &whole);
        canvas.text("end strong", (RIGHT, first), &figures);
        return top + LINE;
    }
    canvas.text("", (LEFT, first), &shorten(&name, RIGHT - LEFT));
    canvas.text("", (LEFT, first + LINE), verdict);
    canvas.text("end strong", (RIGHT, first + LINE), &figures);
    top + 2.0 * LINE
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

/// The candidate that takes least; what is certain before what is not, and suspect ones only where there are no others.
fn lowest<'a>(rows: &'a [Row<'a>]) -> Option<(&'a Row<'a>, &'a Ratio)> {
    let candidates = rows.iter().filter(|row| row.cell.role == Role::Candidate);
    let with_ratio = candidates.filter_map(|row| Some((row, row.ratio?)));
    let doubt = |row: &Row<'_>| match row.cell.verdict {
        Verdict::Faster => 0,
        Verdict::Suspect { .. } => 2,
        _ => 1,
    };
    with_ratio.min_by(|(a, first), (b, second)| {
        let by_doubt = doubt(a).cmp(&doubt(b));
        by_doubt.then(first.interval.estimate.total_cmp(&second.interval.estimate))
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
