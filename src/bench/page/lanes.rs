//! The picture of time lines: what each worker did, one lane a worker, true to scale.

use crate::bench::report::{Lane, Lanes, Span};

use super::cells::View;
use super::markup::figure;
use super::numbers::{NOTHING, percent, seconds};
use super::scale::{Growth, Scale};
use super::svg::{Area, Axis, Canvas, LINE, RIGHT, Sample, coordinate};

/// Lanes that fit a picture.
const MOST: usize = 32;
const LEFT: f64 = 26.0;
const TOP: f64 = 26.0;

/// Time of all lanes, by what it went on, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    on_cpu: f64,
    waiting_for_cpu: f64,
    waiting_for_io: f64,
    no_work: f64,
}

/// One picture for each cell that was looked at closely.
pub(super) fn pictures(view: &View<'_>) -> Vec<String> {
    view.cells()
        .filter_map(|(position, cell)| picture(&view.title(position), cell.lanes.as_ref()?))
        .collect()
}

fn picture(title: &str, lanes: &Lanes) -> Option<String> {
    let scale = Scale::new(Growth::Linear, (0.0, lanes.wall), (LEFT, RIGHT))?;
    let shown = &lanes.lanes[..lanes.lanes.len().min(MOST)];
    if shown.is_empty() {
        return None;
    }
    let mut canvas = Canvas::default();
    let height = (280.0 / shown.len() as f64).clamp(9.0, 22.0);
    for (number, lane) in shown.iter().enumerate() {
        draw(&mut canvas, lane, &scale, (TOP + height * number as f64, height));
        // Numbers of every lane where they fit, otherwise of every fourth.
        if height >= 13.0 || number % 4 == 0 {
            let y = TOP + height * (number as f64 + 0.5) + 4.0;
            canvas.text("end quiet", (LEFT - 5.0, y), &lane.worker.to_string());
        }
    }
    let area = Area {
        left: LEFT,
        top: TOP,
        right: RIGHT,
        bottom: TOP + height * shown.len() as f64 + 2.0,
    };
    ends(&mut canvas, shown, &scale, area);
    canvas.text("quiet", (0.0, 11.0), "worker");
    let ticks = scale.ticks(5).into_iter().map(|tick| (tick, seconds(tick)));
    canvas.axis_across(
        area,
        &Axis {
            scale: &scale,
            title: "time since the begin",
            ticks: ticks.collect(),
        },
    );
    let bottom = canvas.key(area.bottom + 3.0 * LINE + 2.0, &key(lanes.cpu_is_known));
    let finding = finding(lanes, shown);
    Some(figure(
        &format!("What the workers did: {title}"),
        &canvas.finish(bottom, &finding),
        &finding,
    ))
}

fn key(cpu_is_known: bool) -> Vec<(Sample, String)> {
    let in_hand = if cpu_is_known {
        vec![
            ("on-cpu", "on a CPU"),
            ("wait-cpu", "waiting for a CPU"),
            ("wait-io", "waiting for input and output"),
        ]
    } else {
        vec![("wait-io", "an object in hand")]
    };
    let parts = in_hand.into_iter().chain([("no-work", "no work")]);
    parts
        .map(|(class, words)| (Sample::Fill(class), words.to_owned()))
        .collect()
}

/// On CPU, waiting for one, waiting for the rest: lengths within a span are known, their order is not.
fn parts(span: &Span) -> [f64; 3] {
    let positive = |value: f64| if value.is_finite() { value.max(0.0) } else { 0.0 };
    let length = positive(span.length);
    let on_cpu = positive(span.on_cpu).min(length);
    let waiting = positive(span.waiting_for_cpu).min(length - on_cpu);
    [on_cpu, waiting, length - on_cpu - waiting]
}

/// One path for each kind of time keeps thousands of spans small.
fn draw(canvas: &mut Canvas, lane: &Lane, scale: &Scale, (top, height): (f64, f64)) {
    let inner = height - 2.0;
    let whole = Area {
        left: scale.place(0.0),
        top,
        right: scale.place(scale.high),
        bottom: top + inner,
    };
    canvas.rectangle("no-work", whole);
    let mut paths = [const { String::new() }; 3];
    for span in lane.spans.iter().filter(|span| span.begin.is_finite()) {
        let mut at = span.begin.max(0.0);
        for (path, length) in paths.iter_mut().zip(parts(span)) {
            let (from, to) = (scale.place(at), scale.place(at + length));
            if to > from {
                let width = coordinate(to - from);
                *path += &format!(
                    "M{} {}h{width}v{inner:.1}h-{width}z",
                    coordinate(from),
                    coordinate(top)
                );
            }
            at += length;
        }
    }
    for (class, path) in ["on-cpu", "wait-cpu", "wait-io"].iter().zip(&paths) {
        canvas.path(class, path);
    }
}

/// When the first and the last object were done.
fn done(lanes: &[Lane]) -> Option<(f64, f64)> {
    let ends = lanes
        .iter()
        .flat_map(|lane| &lane.spans)
        .map(|span| span.begin + span.length);
    let ends: Vec<f64> = ends.filter(|end| end.is_finite()).collect();
    let first = ends.iter().copied().min_by(f64::total_cmp)?;
    let last = ends.iter().copied().max_by(f64::total_cmp)?;
    Some((first, last))
}

fn ends(canvas: &mut Canvas, lanes: &[Lane], scale: &Scale, area: Area) {
    let Some((first, last)) = done(lanes) else {
        return;
    };
    let (from, to) = (scale.place(first), scale.place(last));
    for x in [from, to] {
        canvas.line("rule", (x, area.top - 8.0), (x, area.bottom));
    }
    let label = |word: &str, at: f64| format!("{word} {}", seconds(at));
    // The first stands right of its line and the last left of it, unless the lines are too close to each other.
    if to - from > 190.0 {
        let left = from.max(58.0);
        canvas.text("", (left + 3.0, 11.0), &label("first done", first));
        canvas.text("end", (to, 11.0), &label("last done", last));
        return;
    }
    let both = format!("first done {}, last {}", seconds(first), seconds(last));
    canvas.text("end", (area.right, 11.0), &both);
}

fn sums(lanes: &[Lane], wall: f64) -> Sums {
    let mut sums = Sums::default();
    for span in lanes.iter().flat_map(|lane| &lane.spans) {
        let [on_cpu, waiting_for_cpu, waiting_for_io] = parts(span);
        sums.on_cpu += on_cpu;
        sums.waiting_for_cpu += waiting_for_cpu;
        sums.waiting_for_io += waiting_for_io;
    }
    let in_hand = sums.on_cpu + sums.waiting_for_cpu + sums.waiting_for_io;
    sums.no_work = (wall * lanes.len() as f64 - in_hand).max(0.0);
    sums
}

fn finding(lanes: &Lanes, shown: &[Lane]) -> String {
    let sums = sums(shown, lanes.wall);
    let all = lanes.wall * shown.len() as f64;
    let of_all = |value: f64| percent(value / all);
    let in_hand = sums.on_cpu + sums.waiting_for_cpu + sums.waiting_for_io;
    let mut text = if lanes.cpu_is_known {
        format!(
            "Of the workers' time {} went on a CPU, {} on waiting for a CPU, {} on waiting for input and output, and {} \
             had no work.",
            of_all(sums.on_cpu),
            of_all(sums.waiting_for_cpu),
            of_all(sums.waiting_for_io),
            of_all(sums.no_work)
        )
    } else {
        format!(
            "Workers had an object in hand for {} of their time and none for {}; how much of it was on a CPU is not \
             known here.",
            of_all(in_hand),
            of_all(sums.no_work)
        )
    };
    let (first, last) = done(shown).map_or_else(
        || (NOTHING.to_owned(), NOTHING.to_owned()),
        |(first, last)| (seconds(first), seconds(last)),
    );
    text += &format!(" The first object was done after {first}, the last after {last}.");
    if lanes.workers > shown.len() {
        text += &format!(" {} of {} workers are shown.", shown.len(), lanes.workers);
    }
    if lanes.cpu_is_known {
        text += " Within an object only the lengths are known; they are drawn in the order of the key.";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_span_make_the_whole_of_it() {
        let span = Span {
            begin: 0.0,
            length: 1.0,
            on_cpu: 0.7,
            waiting_for_cpu: 0.6,
        };
        let [on_cpu, waiting, io] = parts(&span);
        assert!(
            (on_cpu + waiting + io - 1.0).abs() < 1e-9,
            "also where clocks disagree"
        );
        assert_eq!(io, 0.0);
    }

    #[test]
    fn a_short_object_is_drawn_short() {
        let lanes = Lanes {
            wall: 1.0,
            workers: 1,
            lanes: vec![Lane {
                worker: 0,
                spans: vec![Span {
                    begin: 0.5,
                    length: 0.002,
                    ..Span::default()
                }],
            }],
            cpu_is_known: false,
        };
        let drawn = picture("A", &lanes).expect("a lane");
        let width = coordinate(0.002 * (RIGHT - LEFT));
        assert!(drawn.contains(&format!("h{width}v")), "{drawn}");
    }
}
