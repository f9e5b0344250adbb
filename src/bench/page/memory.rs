//! The picture of memory: the most that a cell held, against requests in flight where these differ.

use crate::bench::report::{CellResult, Figures};

use super::cells::{NONE_SOUND, View, is_sound};
use super::markup::figure;
use super::numbers::{bytes, short};
use super::scale::Scale;
use super::svg::{Area, Axis, Canvas, LINE, RIGHT, Sample, WIDTH, line_class, shorten, width_of};
use super::sweep::{Family, families, in_flight_axis};

const ROW: f64 = 34.0;
const LEFT: f64 = 62.0;

type Measured<'a> = (usize, &'a CellResult, &'a Figures);

/// The picture of the group; none without figures.
pub(super) fn picture(view: &View<'_>) -> Option<String> {
    let measured: Vec<Measured<'_>> = view
        .measured()
        .filter(|(_, _, figures)| figures.peak_rss_bytes > 0)
        .collect();
    let mut finding = finding(view, &measured);
    let families = families(view);
    let drawn: usize = families.iter().map(|family| family.members.len()).sum();
    if (1..measured.len()).contains(&drawn) {
        finding += " Drawn are the cells of a sweep; the others are in the table.";
    }
    let (canvas, height) = if families.is_empty() {
        bars(view, &measured)?
    } else {
        against_in_flight(view, &families)?
    };
    Some(figure("Peak memory", &canvas.finish(height, &finding), &finding))
}

fn held(figures: &Figures) -> f64 {
    figures.peak_rss_bytes as f64
}

/// One bar a cell.
fn bars(view: &View<'_>, measured: &[Measured<'_>]) -> Option<(Canvas, f64)> {
    let values = measured.iter().map(|(_, _, figures)| held(figures));
    let scale = Scale::from_zero(values, (4.0, RIGHT))?;
    let mut canvas = Canvas::default();
    for (number, (position, _, figures)) in measured.iter().enumerate() {
        let top = ROW * number as f64;
        let text = bytes(held(figures));
        let room = WIDTH - width_of(&text) - 8.0;
        canvas.text("", (4.0, top + 13.0), &shorten(&view.title(*position), room));
        canvas.text("end strong", (RIGHT, top + 13.0), &text);
        let area = Area {
            left: 4.0,
            top: top + 19.0,
            right: scale.place(held(figures)),
            bottom: top + 29.0,
        };
        canvas.rectangle("bar", area);
    }
    let bottom = ROW * measured.len() as f64 + 2.0;
    let area = Area {
        left: 4.0,
        top: 0.0,
        right: RIGHT,
        bottom,
    };
    let ticks = byte_ticks(&scale, 4);
    let across = Axis {
        scale: &scale,
        title: "peak resident memory",
        ticks,
    };
    canvas.axis_across(area, &across);
    Some((canvas, bottom + 2.0 * LINE + 8.0))
}

/// One line a family.
fn against_in_flight(view: &View<'_>, families: &[Family]) -> Option<(Canvas, f64)> {
    let area = Area {
        left: LEFT,
        top: 26.0,
        right: RIGHT - 6.0,
        bottom: 190.0,
    };
    let figures = |position: usize| view.group.cells[position].figures.as_ref();
    let members = || families.iter().flat_map(|family| &family.members);
    let across = in_flight_axis(members().map(|(in_flight, _)| *in_flight), area)?;
    let values = members().filter_map(|(_, position)| figures(*position).map(held));
    let up = Scale::from_zero(values, (area.bottom, area.top))?;
    let mut canvas = Canvas::default();
    let ticks = byte_ticks(&up, 4);
    canvas.axes(
        area,
        &across.axis("requests in flight (log₂)"),
        &Axis {
            scale: &up,
            title: "peak resident memory",
            ticks,
        },
    );
    let mut key = Vec::new();
    for (number, family) in families.iter().enumerate() {
        let places: Vec<_> = family
            .members
            .iter()
            .filter_map(|(in_flight, position)| {
                let value = held(figures(*position)?);
                Some((across.scale.place(*in_flight as f64), up.place(value), value))
            })
            .collect();
        let line: Vec<_> = places.iter().map(|(x, y, _)| (*x, *y)).collect();
        canvas.line_through(&line_class(Some(number)), &line);
        for (x, y, value) in &places {
            canvas.mark(Some(number), (*x, *y), &bytes(*value));
        }
        key.push((Sample::Both(Some(number)), family.name.clone()));
    }
    let bottom = canvas.key(area.bottom + 3.0 * LINE + 2.0, &key);
    Some((canvas, bottom))
}

/// Ticks at powers of two of bytes where that makes round numbers.
fn byte_ticks(scale: &Scale, most: usize) -> Vec<(f64, String)> {
    let raw = scale.high / most as f64;
    let step = 2_f64.powf(raw.log2().ceil());
    (0..=most)
        .map(|number| number as f64 * step)
        .filter(|tick| *tick <= scale.high)
        .map(|tick| (tick, short(&bytes(tick))))
        .collect()
}

fn finding(view: &View<'_>, measured: &[Measured<'_>]) -> String {
    let sound = || measured.iter().filter(|(_, cell, _)| is_sound(cell));
    let least = sound().min_by(|a, b| held(a.2).total_cmp(&held(b.2)));
    let most = sound().max_by(|a, b| held(a.2).total_cmp(&held(b.2)));
    let (Some(least), Some(most)) = (least, most) else {
        return NONE_SOUND.to_owned();
    };
    if least.0 == most.0 {
        return format!("{} held at most {}.", view.name(most.0), bytes(held(most.2)));
    }
    format!(
        "{} held least, {}, and {} most, {}; worker processes count together with the process that started them.",
        view.name(least.0),
        bytes(held(least.2)),
        view.name(most.0),
        bytes(held(most.2))
    )
}
