//! The picture of rates: objects in each tenth of a second of one arm of each cell, which shows whether it went evenly.

use crate::bench::report::{Arm, CellResult};

use super::cells::{NONE_SOUND, View, is_sound};
use super::markup::figure;
use super::numbers::{count, seconds, short, significant};
use super::scale::{Growth, Scale};
use super::svg::{Canvas, LINE, LOOKS, Place, RIGHT, WIDTH, coordinate, shorten, width_of};

/// Parts of a second in which objects are counted.
const BINS_A_SECOND: f64 = 10.0;
const ROW: f64 = 56.0;
const LEFT: f64 = 4.0;

/// Objects in each tenth of a second, of the middle arm of each cell that stands out; none without counts.
pub(super) fn picture(view: &View<'_>) -> Option<String> {
    let middles: Vec<(usize, &Arm)> = view
        .strong()
        .iter()
        .filter_map(|position| Some((*position, middle(view, &view.group.cells[*position])?)))
        .collect();
    if middles.is_empty() {
        return None;
    }
    let finding = evenness(view, &middles);
    let mut canvas = Canvas::default();
    for (number, (position, arm)) in middles.iter().enumerate() {
        row(&mut canvas, view, *position, arm, ROW * number as f64);
    }
    let bottom = ROW * middles.len() as f64;
    canvas.text(
        "quiet",
        (LEFT, bottom + 10.0),
        "across: time since the begin, to the end of the job",
    );
    canvas.text(
        "quiet",
        (LEFT, bottom + 10.0 + LINE),
        "up: objects a second, in each tenth of one",
    );
    let height = bottom + 14.0 + LINE;
    Some(figure(
        "Within one arm of each",
        &canvas.finish(height, &finding),
        &finding,
    ))
}

/// Each cell over its own length and up to its own highest rate, which stand above it: what counts is the shape.
fn row(canvas: &mut Canvas, view: &View<'_>, position: usize, arm: &Arm, top: f64) {
    let highest = f64::from(arm.throughput.iter().copied().max().unwrap_or(0)) * BINS_A_SECOND;
    let length = arm.throughput.len() as f64 / BINS_A_SECOND;
    let extent = format!(
        "to {} a second, {}",
        short(&significant(highest)),
        short(&seconds(length))
    );
    let room = WIDTH - width_of(&extent) - 8.0;
    canvas.text("", (LEFT, top + 13.0), &shorten(&view.title(position), room));
    canvas.text("end quiet", (RIGHT, top + 13.0), &extent);
    let (ceiling, floor) = (top + 20.0, top + 46.0);
    canvas.line("axis", (LEFT, floor), (RIGHT, floor));
    let across = Scale::new(Growth::Linear, (0.0, length), (LEFT, RIGHT));
    let up = Scale::new(Growth::Linear, (0.0, highest), (floor, ceiling));
    let (Some(across), Some(up)) = (across, up) else {
        return;
    };
    let mut outline = format!("M{} {}", coordinate(LEFT), coordinate(floor));
    for (x, y) in stairs(arm, &across, &up) {
        outline += &format!("L{} {}", coordinate(x), coordinate(y));
    }
    outline += &format!("L{} {}Z", coordinate(RIGHT), coordinate(floor));
    let look = view.look(position).unwrap_or(0) % LOOKS;
    canvas.path(&format!("area look{look}"), &outline);
}

/// The arm that counts and is the middle one by its time.
fn middle<'a>(view: &View<'_>, cell: &'a CellResult) -> Option<&'a Arm> {
    let arms = cell.arms.iter().filter(|arm| !view.is_excluded(arm));
    let mut arms: Vec<&Arm> = arms.filter(|arm| !arm.throughput.is_empty()).collect();
    arms.sort_by(|a, b| a.seconds_per_object.total_cmp(&b.seconds_per_object));
    arms.get(arms.len() / 2).copied()
}

/// Each count is one step as wide as its tenth of a second.
fn stairs(arm: &Arm, across: &Scale, up: &Scale) -> Vec<Place> {
    let steps = arm.throughput.iter().enumerate();
    steps
        .flat_map(|(number, count)| {
            let y = up.place(f64::from(*count) * BINS_A_SECOND);
            let x = |number: usize| across.place(number as f64 / BINS_A_SECOND);
            [(x(number), y), (x(number + 1), y)]
        })
        .collect()
}

fn evenness(view: &View<'_>, middles: &[(usize, &Arm)]) -> String {
    let sound = middles
        .iter()
        .filter(|(position, _)| is_sound(&view.group.cells[*position]));
    let fastest = sound.min_by(|a, b| a.1.seconds_per_object.total_cmp(&b.1.seconds_per_object));
    let Some((position, arm)) = fastest else {
        return NONE_SOUND.to_owned();
    };
    let name = view.name(*position);
    let bins = &arm.throughput;
    let drawn = "Drawn is the arm of each cell that is the middle one by time.";
    // The first and the last tenth of a second are not whole.
    let inner = bins.get(1..bins.len().saturating_sub(1)).unwrap_or_default();
    let (Some(least), Some(most)) = (inner.iter().min(), inner.iter().max()) else {
        return format!(
            "{name}, the fastest, was done within {} of a second: too short to tell whether its rate was even. {drawn}",
            count(bins.len(), "tenth")
        );
    };
    format!(
        "Between its first and its last tenth of a second {name}, the fastest, made between {} and {} objects a second \
         (block {}). {drawn}",
        significant(f64::from(*least) * BINS_A_SECOND),
        significant(f64::from(*most) * BINS_A_SECOND),
        arm.block
    )
}
