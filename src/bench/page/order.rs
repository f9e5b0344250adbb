//! The picture of the run: every arm in its order, which shows drift and what lies far from the rest.

use crate::bench::report::Arm;
use crate::bench::stats::{has_trend, outliers};

use super::cells::View;
use super::markup::figure;
use super::numbers::{count, list, seconds, short};
use super::scale::{Growth, Scale};
use super::svg::{Area, Axis, Canvas, LINE, RIGHT, Sample};

const AREA: Area = Area {
    left: 50.0,
    top: 26.0,
    right: RIGHT - 8.0,
    bottom: 206.0,
};

/// Seconds for one object, over the order of arms in the run; none without arms.
pub(super) fn picture(view: &View<'_>) -> Option<String> {
    let all = || view.cells().flat_map(|(_, cell)| &cell.arms);
    let values = all().map(|arm| arm.seconds_per_object);
    let up = Scale::logarithmic(values, (AREA.bottom, AREA.top))?;
    let first = all().map(|arm| arm.order).min()? as f64;
    let last = all().map(|arm| arm.order).max()? as f64;
    let places = (AREA.left + 6.0, AREA.right);
    let across = Scale::new(Growth::Linear, (first - 1.0, last + 1.0), places)?;
    let mut canvas = Canvas::default();
    let has_shade = shade(&mut canvas, view, &across);
    let ticks = across.ticks(6).into_iter();
    let ticks = ticks.filter(|tick| tick.fract() == 0.0 && *tick >= 1.0);
    canvas.axes(
        AREA,
        &Axis {
            scale: &across,
            title: "order of the arm in the whole run",
            ticks: ticks.map(|tick| (tick, format!("{tick}"))).collect(),
        },
        &Axis {
            scale: &up,
            title: "time for one object (log)",
            ticks: up
                .ticks(6)
                .into_iter()
                .map(|tick| (tick, short(&seconds(tick))))
                .collect(),
        },
    );
    // What stands out is drawn last, on top of the others.
    let (faint, strong): (Vec<_>, Vec<_>) = view
        .cells()
        .partition(|(position, _)| view.look(*position).is_none());
    for (position, cell) in faint.into_iter().chain(strong) {
        for arm in cell.arms.iter().filter(|arm| is_drawable(arm)) {
            let place = (across.place(arm.order as f64), up.place(arm.seconds_per_object));
            let hint = format!(
                "{}, block {}: {}",
                view.name(position),
                arm.block,
                seconds(arm.seconds_per_object)
            );
            canvas.mark(view.look(position), place, &hint);
        }
    }
    let mut key: Vec<_> = strong_key(view);
    if has_shade {
        key.push((Sample::Fill("shade"), "blocks that do not count".to_owned()));
    }
    let bottom = canvas.key(AREA.bottom + 3.0 * LINE + 2.0, &key);
    let finding = steadiness(view);
    Some(figure(
        "Every arm, in the order of the run",
        &canvas.finish(bottom, &finding),
        &finding,
    ))
}

fn is_drawable(arm: &Arm) -> bool {
    arm.seconds_per_object.is_normal() && arm.seconds_per_object > 0.0
}

fn strong_key(view: &View<'_>) -> Vec<(Sample, String)> {
    let strong = view.strong().iter();
    strong
        .map(|position| (Sample::Mark(view.look(*position)), view.title(*position)))
        .collect()
}

/// Shades the blocks that do not count; whether there is one.
fn shade(canvas: &mut Canvas, view: &View<'_>, across: &Scale) -> bool {
    let mut any = false;
    for block in view.group.excluded_blocks() {
        let arms = view.cells().flat_map(|(_, cell)| &cell.arms);
        let orders: Vec<usize> = arms
            .filter(|arm| arm.block == block.block)
            .map(|arm| arm.order)
            .collect();
        let (Some(first), Some(last)) = (orders.iter().min(), orders.iter().max()) else {
            continue;
        };
        let area = Area {
            left: across.place(*first as f64 - 0.5),
            right: across.place(*last as f64 + 0.5),
            ..AREA
        };
        canvas.rectangle("shade", area);
        any = true;
    }
    any
}

fn steadiness(view: &View<'_>) -> String {
    let mut drifting = Vec::new();
    let (mut far, mut all) = (0, 0);
    for (position, cell) in view.cells() {
        let arms = cell.arms.iter().filter(|arm| !view.is_excluded(arm));
        let values: Vec<f64> = arms
            .map(|arm| arm.seconds_per_object)
            .filter(|value| value.is_finite())
            .collect();
        all += values.len();
        far += outliers(&values).len();
        if has_trend(&values) {
            drifting.push(view.name(position));
        }
    }
    let mut text = match drifting.len() {
        0 => "No cell rises or falls over the run more than chance explains".to_owned(),
        1 => format!(
            "{} drifts over the run: its figures depend on when it ran",
            list(&drifting)
        ),
        _ => format!(
            "{} drift over the run: their figures depend on when they ran",
            list(&drifting)
        ),
    };
    text += &match far {
        0 => format!(
            "; none of {} that count lies far from the others of its cell.",
            count(all, "arm")
        ),
        far => format!(
            "; {far} of {} that count lie far from the others of their cell, and stay.",
            count(all, "arm")
        ),
    };
    let excluded = view.group.excluded_blocks().iter();
    let excluded: Vec<String> = excluded
        .map(|block| format!("block {} ({})", block.block, block.reason))
        .collect();
    if !excluded.is_empty() {
        text += &format!(" Not counted: {}.", list(&excluded));
    }
    text + &view.about_the_faint()
}
