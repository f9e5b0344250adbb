//! The picture of time lines: what each worker did, one lane a worker, true to scale.

use crate::bench::report::{Lane, Lanes, Span};

use super::cells::View;
use super::markup::figure;
use super::numbers::{NOTHING, percent, seconds, short};
use super::scale::{Growth, Scale};
use super::svg::{Area, Axis, Canvas, LINE, RIGHT, Sample, coordinate};

/// Lanes that fit a picture.
const MOST: usize = 32;
const LEFT: f64 = 26.0;
const TOP: f64 = 26.0;
/// Objects that are narrower than this on average are not drawn one by one.
const NARROWEST: f64 = 3.0;

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
    let shown = &shown(lanes);
    if shown.is_empty() {
        return None;
    }
    let mut canvas = Canvas::default();
    let height = (280.0 / shown.len() as f64).clamp(9.0, 22.0);
    let detail = Detail::of(shown, lanes.wall);
    for (number, lane) in shown.iter().enumerate() {
        let top = TOP + height * number as f64;
        draw(&mut canvas, lane, &scale, detail, top, top + height - 2.0);
        // Numbers of every lane where they fit, otherwise of every fourth.
        if height >= 13.0 || number % 4 == 0 {
            let y = top + height / 2.0 + 4.0;
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
    let ticks = scale
        .ticks(5)
        .into_iter()
        .map(|tick| (tick, short(&seconds(tick))));
    canvas.axis_across(
        area,
        &Axis {
            scale: &scale,
            title: "time since the begin",
            ticks: ticks.collect(),
        },
    );
    let bottom = canvas.key(area.bottom + 3.0 * LINE + 2.0, &key(lanes.cpu_is_known));
    let finding = finding(lanes, shown, detail);
    Some(figure(
        &format!("What the workers did: {title}"),
        &canvas.finish(bottom, &finding),
        &finding,
    ))
}

/// As many lanes as fit; without a split of spans where nobody knows it.
fn shown(lanes: &Lanes) -> Vec<Lane> {
    let mut shown: Vec<Lane> = lanes.lanes.iter().take(MOST).cloned().collect();
    if !lanes.cpu_is_known {
        for span in shown.iter_mut().flat_map(|lane| &mut lane.spans) {
            (span.on_cpu, span.waiting_for_cpu) = (0.0, 0.0);
        }
    }
    shown
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

/// How a lane is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// Every object by itself.
    Objects,
    /// So many slices of equal length, each with the shares in it: objects are too short to be seen.
    Slices(usize),
}

impl Detail {
    fn of(lanes: &[Lane], wall: f64) -> Self {
        let spans = lanes.iter().map(|lane| lane.spans.len()).sum::<usize>();
        let lengths = lanes.iter().flat_map(|lane| &lane.spans).map(|span| span.length);
        let total: f64 = lengths.filter(|length| length.is_finite()).sum();
        let mean_width = total / spans as f64 / wall * (RIGHT - LEFT);
        if mean_width < NARROWEST {
            return Self::Slices(((RIGHT - LEFT) / NARROWEST) as usize);
        }
        Self::Objects
    }
}

/// One path for each kind of time keeps thousands of spans small.
#[derive(Default)]
struct Paths([String; 3]);

impl Paths {
    fn add(&mut self, kind: usize, area: Area) {
        if area.right > area.left && area.bottom > area.top {
            let width = coordinate(area.right - area.left);
            self.0[kind] += &format!(
                "M{} {}h{width}v{}h-{width}z",
                coordinate(area.left),
                coordinate(area.top),
                coordinate(area.bottom - area.top)
            );
        }
    }
}

fn draw(canvas: &mut Canvas, lane: &Lane, scale: &Scale, detail: Detail, top: f64, bottom: f64) {
    let whole = Area {
        left: scale.place(0.0),
        top,
        right: scale.place(scale.high),
        bottom,
    };
    canvas.rectangle("no-work", whole);
    let mut paths = Paths::default();
    match detail {
        Detail::Objects => {
            for (kind, begin, end) in stretches(lane) {
                let (left, right) = (scale.place(begin), scale.place(end));
                paths.add(kind, Area { left, right, ..whole });
            }
        }
        Detail::Slices(number) => {
            for (position, shares) in slices(lane, scale.high, number).iter().enumerate() {
                let place = |position: usize| scale.place(scale.high * position as f64 / number as f64);
                let mut bottom = whole.bottom;
                for (kind, share) in shares.iter().enumerate() {
                    let top = (bottom - share * (whole.bottom - whole.top)).max(whole.top);
                    let (left, right) = (place(position), place(position + 1));
                    paths.add(
                        kind,
                        Area {
                            left,
                            top,
                            right,
                            bottom,
                        },
                    );
                    bottom = top;
                }
            }
        }
    }
    for (class, path) in ["on-cpu", "wait-cpu", "wait-io"].iter().zip(&paths.0) {
        canvas.path(class, path);
    }
}

/// Kind, begin and end of all that a worker did.
fn stretches(lane: &Lane) -> impl Iterator<Item = (usize, f64, f64)> + use<'_> {
    let spans = lane.spans.iter().filter(|span| span.begin.is_finite());
    spans.flat_map(|span| {
        let mut at = span.begin.max(0.0);
        let mut kind = 0;
        parts(span).map(|length| {
            let stretch = (kind, at, at + length);
            at += length;
            kind += 1;
            stretch
        })
    })
}

/// The shares of each kind in `number` slices of equal length.
fn slices(lane: &Lane, wall: f64, number: usize) -> Vec<[f64; 3]> {
    let mut slices = vec![[0.0; 3]; number];
    let length = wall / number as f64;
    for (kind, begin, end) in stretches(lane) {
        let first = (begin / length) as usize;
        let last = ((end / length) as usize).min(number.saturating_sub(1));
        for (position, slice) in slices.iter_mut().enumerate().take(last + 1).skip(first) {
            let (from, to) = (position as f64 * length, (position + 1) as f64 * length);
            slice[kind] += (end.min(to) - begin.max(from)).max(0.0) / length;
        }
    }
    slices
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

fn finding(lanes: &Lanes, shown: &[Lane], detail: Detail) -> String {
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
    match detail {
        Detail::Slices(number) => {
            text += &format!(
                " Objects are too short to be drawn one by one: each slice of {} shows its shares, from the bottom up.",
                seconds(lanes.wall / number as f64)
            );
        }
        Detail::Objects if lanes.cpu_is_known => {
            text += " Within an object only the lengths are known; they are drawn in the order of the key.";
        }
        Detail::Objects => {}
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

    fn one_lane(spans: Vec<Span>) -> Lanes {
        Lanes {
            wall: 1.0,
            workers: 1,
            lanes: vec![Lane { worker: 0, spans }],
            cpu_is_known: true,
        }
    }

    #[test]
    fn a_short_object_is_drawn_short() {
        let span = |begin: f64, length: f64| Span {
            begin,
            length,
            ..Span::default()
        };
        let lanes = one_lane(vec![span(0.1, 0.3), span(0.5, 0.002)]);
        let drawn = picture("A", &lanes).expect("a lane");
        let width = coordinate(0.002 * (RIGHT - LEFT));
        assert!(drawn.contains(&format!("h{width}v")), "{drawn}");
    }

    #[test]
    fn what_is_not_known_of_cpus_is_not_drawn() {
        let span = Span {
            length: 0.5,
            on_cpu: 0.2,
            ..Span::default()
        };
        let mut lanes = one_lane(vec![span]);
        assert!(
            picture("A", &lanes)
                .expect("a lane")
                .contains("class=\"on-cpu\" d=")
        );
        lanes.cpu_is_known = false;
        let drawn = picture("A", &lanes).expect("a lane");
        assert!(!drawn.contains("on-cpu"), "{drawn}");
        assert!(drawn.contains("is not known here"), "{drawn}");
    }

    /// A thousand objects on the width of a finger: shares are true where single objects cannot be.
    #[test]
    fn many_short_objects_are_drawn_as_shares() {
        let spans = (0..1_000).map(|number| Span {
            begin: f64::from(number) * 0.001,
            length: 0.000_8,
            on_cpu: 0.000_2,
            waiting_for_cpu: 0.0,
        });
        let lanes = one_lane(spans.collect());
        assert!(matches!(Detail::of(&lanes.lanes, 1.0), Detail::Slices(_)));
        for [on_cpu, waiting, io] in slices(&lanes.lanes[0], 1.0, 100) {
            assert!((on_cpu - 0.2).abs() < 1e-6 && waiting == 0.0 && (io - 0.6).abs() < 1e-6);
        }
        let drawn = picture("A", &lanes).expect("a lane");
        assert!(drawn.contains("each slice of"), "{drawn}");
        assert!(drawn.contains("20\u{a0}% went on a CPU"), "{drawn}");
    }
}
