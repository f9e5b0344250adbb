//! The picture of CPU time: who had how much of the machine, one bar a cell.

use crate::bench::report::{CellResult, Cpu, Figures};

use super::cells::{NONE_SOUND, View, is_sound};
use super::markup::figure;
use super::numbers::{count, percent};
use super::scale::{Growth, Scale};
use super::svg::{Area, Axis, Canvas, LINE, RIGHT, Sample, WIDTH, shorten, width_of};

pub(super) use crate::bench::judge::SATURATED;
const ROW: f64 = 36.0;
const LEFT: f64 = 4.0;

/// Parts of a bar from left to right: class, words, share.
type Part = (&'static str, &'static str, fn(&Cpu) -> f64);

const PARTS: [Part; 7] = [
    ("client-user", "client, user mode", |cpu| cpu.client_user),
    ("client-system", "client, in the kernel", |cpu| cpu.client_system),
    ("server", "server", |cpu| cpu.server),
    ("relay", "relay", |cpu| cpu.relay),
    ("other", "everything else", |cpu| cpu.other),
    ("steal", "taken by other machines", |cpu| cpu.steal),
    ("idle", "idle", |cpu| cpu.idle),
];

/// What client, server and relay take of the machine.
pub(super) fn taken(figures: &Figures) -> f64 {
    figures.cpu_shares.ours()
}

/// The picture of the group; none without figures.
pub(super) fn picture(view: &View<'_>) -> Option<String> {
    let measured: Vec<_> = view
        .measured()
        .filter(|(_, _, figures)| sum(&figures.cpu_shares) > 0.0)
        .collect();
    if measured.is_empty() {
        return None;
    }
    let scale = Scale::new(Growth::Linear, (0.0, 1.0), (LEFT, RIGHT))?;
    let mut canvas = Canvas::default();
    for (number, (position, _, figures)) in measured.iter().enumerate() {
        let top = ROW * number as f64;
        let busy = format!("{} taken", percent(taken(figures)));
        let room = WIDTH - width_of(&busy) - 8.0;
        canvas.text("", (LEFT, top + 13.0), &shorten(&view.title(*position), room));
        canvas.text("end strong", (RIGHT, top + 13.0), &busy);
        bar(&mut canvas, &figures.cpu_shares, &scale, top + 18.0);
    }
    let bottom = ROW * measured.len() as f64 + 2.0;
    let area = Area {
        left: LEFT,
        top: 0.0,
        right: RIGHT,
        bottom,
    };
    let ticks = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| (share, percent(share)));
    canvas.axis_across(
        area,
        &Axis {
            scale: &scale,
            title: "share of all processors' time",
            ticks: ticks.into(),
        },
    );
    let shown = PARTS.iter().filter(|(_, _, share)| {
        measured
            .iter()
            .any(|(_, _, figures)| share(&figures.cpu_shares) > 0.0)
    });
    let key: Vec<_> = shown
        .map(|(class, words, _)| (Sample::Fill(class), (*words).to_owned()))
        .collect();
    let end = canvas.key(bottom + 3.0 * LINE + 4.0, &key);
    let finding = finding(view, &measured);
    Some(figure(
        "Who had the processors",
        &canvas.finish(end, &finding),
        &finding,
    ))
}

fn sum(cpu: &Cpu) -> f64 {
    let shares = PARTS.iter().map(|(_, _, share)| share(cpu));
    shares.filter(|share| share.is_finite()).sum()
}

fn bar(canvas: &mut Canvas, cpu: &Cpu, scale: &Scale, top: f64) {
    let mut so_far = 0.0;
    for (class, _, share) in PARTS {
        let share = share(cpu);
        if !(share.is_finite() && share > 0.0) {
            continue;
        }
        let area = Area {
            left: scale.place(so_far),
            top,
            right: scale.place(so_far + share),
            bottom: top + 14.0,
        };
        canvas.rectangle(class, area);
        so_far += share;
    }
}

type Measured<'a> = (usize, &'a CellResult, &'a Figures);

fn finding(view: &View<'_>, measured: &[Measured<'_>]) -> String {
    let share = |found: &Measured<'_>| taken(found.2);
    let saturated: Vec<_> = measured
        .iter()
        .filter(|found| share(found) >= SATURATED)
        .collect();
    let sound = measured.iter().filter(|(_, cell, _)| is_sound(cell));
    let Some(busiest) = sound.max_by(|a, b| share(a).total_cmp(&share(b))) else {
        return NONE_SOUND.to_owned();
    };
    let name = view.name(busiest.0);
    let parts = &busiest.2.cpu_shares;
    let mut text = format!(
        "{name} takes most of the machine: {}, of which the client {}, the server {} and the relay {}.",
        percent(share(busiest)),
        percent(parts.client_user + parts.client_system),
        percent(parts.server),
        percent(parts.relay)
    );
    text += &match saturated.len() {
        0 => format!(
            " No cell takes {} of it, so none is limited by the processors.",
            percent(SATURATED)
        ),
        number => format!(
            " In {} of {} client, server and relay take {} and more: there the ratio ranks CPU time, not concurrency.",
            number,
            count(measured.len(), "cell"),
            percent(SATURATED)
        ),
    };
    text
}
