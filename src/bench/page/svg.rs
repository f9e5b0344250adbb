//! Pictures by hand: a canvas 360 units wide, so that its text stays readable where that is all the width there is.

use super::markup::escape;
use super::scale::Scale;

/// Units from left to right; on a phone one of them is about one pixel.
pub(super) const WIDTH: f64 = 360.0;
/// Where plots end on the right.
pub(super) const RIGHT: f64 = 352.0;
/// Height of a line of text.
pub(super) const LINE: f64 = 17.0;
/// About the width of one character.
const CHARACTER: f64 = 7.0;
/// Shapes of marks, and kinds of dashes, and colours: after so many they begin again.
pub(super) const LOOKS: usize = 8;

/// A place on the canvas.
pub(super) type Place = (f64, f64);

/// A rectangle: left, top, right, bottom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

/// One axis of a plot.
pub(super) struct Axis<'a> {
    /// From values to places.
    pub(super) scale: &'a Scale,
    /// What it shows, with its unit.
    pub(super) title: &'a str,
    /// Values that are marked, and what stands there.
    pub(super) ticks: Vec<(f64, String)>,
}

/// What an SVG element holds, as it grows.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    body: String,
}

/// A coordinate: hundredths are finer than any screen, and `NaN` would spoil the whole picture.
pub(super) fn coordinate(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        return "0".to_owned();
    }
    text.to_owned()
}

/// About as wide as `text` is drawn.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

/// As much of `text` as `width` holds.
pub(super) fn shorten(text: &str, width: f64) -> String {
    let most = (width / CHARACTER).max(4.0) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most - 1).collect();
    format!("{}…", kept.trim_end())
}

/// `text` in lines of at most `width`, broken between words.
pub(super) fn wrapped(text: &str, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width_of(line) + width_of(word) + CHARACTER <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(shorten(word, width)),
        }
    }
    lines
}

impl Canvas {
    /// A straight line.
    pub(super) fn line(&mut self, class: &str, from: Place, to: Place) {
        self.body += &format!(
            "<line class=\"{class}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>",
            coordinate(from.0),
            coordinate(from.1),
            coordinate(to.0),
            coordinate(to.1)
        );
    }

    /// Words; `class` says how they are aligned.
    pub(super) fn text(&mut self, class: &str, at: Place, text: &str) {
        self.body += &format!(
            "<text class=\"{class}\" x=\"{}\" y=\"{}\">{}</text>",
            coordinate(at.0),
            coordinate(at.1),
            escape(text)
        );
    }

    /// A rectangle, as wide as it is: nothing is widened to be seen.
    pub(super) fn rectangle(&mut self, class: &str, area: Area) {
        self.body += &format!(
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
            coordinate(area.left),
            coordinate(area.top),
            coordinate((area.right - area.left).max(0.0)),
            coordinate((area.bottom - area.top).max(0.0))
        );
    }

    /// A path; nothing without `data`.
    pub(super) fn path(&mut self, class: &str, data: &str) {
        if !data.is_empty() {
            self.body += &format!("<path class=\"{class}\" d=\"{data}\"/>");
        }
    }

    /// A line through `places`.
    pub(super) fn line_through(&mut self, class: &str, places: &[Place]) {
        if places.len() < 2 {
            return;
        }
        let points: Vec<String> = places
            .iter()
            .map(|(x, y)| format!("{},{}", coordinate(*x), coordinate(*y)))
            .collect();
        self.body += &format!("<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "));
    }

    /// The mark of the cell that looks so, with words for those who point at it.
    pub(super) fn mark(&mut self, look: Option<usize>, at: Place, hint: &str) {
        let class = match look {
            Some(look) => format!("mark look{}", look % LOOKS),
            None => "mark faint".to_owned(),
        };
        let hint = match hint {
            "" => String::new(),
            hint => format!("<title>{}</title>", escape(hint)),
        };
        self.body += &format!("<path class=\"{class}\" d=\"{}\">{hint}</path>", shape(look, at));
    }

    /// Axes, their ticks and titles, around `area`.
    pub(super) fn axes(&mut self, area: Area, across: &Axis<'_>, up: &Axis<'_>) {
        for (value, label) in &up.ticks {
            let y = up.scale.place(*value);
            self.line("grid", (area.left, y), (area.right, y));
            self.text("end quiet", (area.left - 5.0, y + 4.0), label);
        }
        self.text("quiet", (0.0, area.top - 9.0), up.title);
        self.axis_across(area, across);
    }

    /// The axis at the bottom alone.
    pub(super) fn axis_across(&mut self, area: Area, across: &Axis<'_>) {
        self.line("axis", (area.left, area.bottom), (area.right, area.bottom));
        // A label stands only where the one before has ended.
        let mut free = 0.0;
        for (value, label) in &across.ticks {
            let x = across.scale.place(*value);
            self.line("axis", (x, area.bottom), (x, area.bottom + 4.0));
            let half = width_of(label) / 2.0 + 3.0;
            let middle = x.clamp(half, (WIDTH - half).max(half));
            if middle - half >= free {
                self.text("middle quiet", (middle, area.bottom + LINE), label);
                free = middle + half + 2.0;
            }
        }
        self.text("end quiet", (area.right, area.bottom + 2.0 * LINE), across.title);
    }

    /// Rows that tell what each look stands for, from `top` on; where they end.
    pub(super) fn key(&mut self, top: f64, rows: &[(Sample, String)]) -> f64 {
        let mut y = top;
        for (sample, text) in rows {
            self.sample(sample, y);
            self.text("", (36.0, y + 4.0), &shorten(text, WIDTH - 36.0));
            y += LINE;
        }
        y
    }

    fn sample(&mut self, sample: &Sample, y: f64) {
        let (from, to) = ((2.0, y), (30.0, y));
        let area = Area {
            left: 4.0,
            top: y - 5.5,
            right: 28.0,
            bottom: y + 5.5,
        };
        match sample {
            Sample::Line(look) => self.line(&line_class(*look), from, to),
            Sample::Mark(look) => self.mark(*look, (16.0, y), ""),
            Sample::Both(look) => {
                self.line(&line_class(*look), from, to);
                self.mark(*look, (16.0, y), "");
            }
            Sample::Rule(class) => self.line(class, from, to),
            Sample::Fill(class) => self.rectangle(class, area),
        }
    }

    /// The whole picture; `description` is for those who do not see it.
    pub(super) fn finish(self, height: f64, description: &str) -> String {
        format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">{}</svg>",
            coordinate(WIDTH),
            coordinate(height.ceil()),
            escape(description),
            self.body
        )
    }
}

/// What stands before a row of a key.
#[derive(Clone, Debug)]
pub(super) enum Sample {
    /// The line of a cell.
    Line(Option<usize>),
    /// The mark of a cell.
    Mark(Option<usize>),
    /// Both.
    Both(Option<usize>),
    /// A line of this class.
    Rule(&'static str),
    /// An area of this class.
    Fill(&'static str),
}

/// Colour and dashes of a cell's line.
pub(super) fn line_class(look: Option<usize>) -> String {
    match look {
        Some(look) => format!("curve look{0} dash{0}", look % LOOKS),
        None => "curve faint".to_owned(),
    }
}

/// Outlines that differ without colour; a small dot for what stays in the background.
fn shape(look: Option<usize>, (x, y): Place) -> String {
    let polygon = |points: &[Place]| {
        let corners: Vec<String> = points
            .iter()
            .map(|(right, down)| format!("{},{}", coordinate(x + right), coordinate(y + down)))
            .collect();
        format!("M{}Z", corners.join("L"))
    };
    let circle = |radius: f64| {
        format!(
            "M{},{}a{radius},{radius} 0 1 0 {},0a{radius},{radius} 0 1 0 -{},0Z",
            coordinate(x - radius),
            coordinate(y),
            2.0 * radius,
            2.0 * radius
        )
    };
    let Some(look) = look else {
        return circle(1.5);
    };
    match look % LOOKS {
        0 => circle(4.0),
        1 => polygon(&[(-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)]),
        2 => polygon(&[(0.0, -4.6), (4.4, 3.6), (-4.4, 3.6)]),
        3 => polygon(&[(0.0, -5.2), (4.6, 0.0), (0.0, 5.2), (-4.6, 0.0)]),
        4 => polygon(&[(0.0, 4.6), (4.4, -3.6), (-4.4, -3.6)]),
        5 => polygon(&PLUS),
        6 => polygon(&PLUS.map(|(right, down)| ((right - down) * 0.72, (right + down) * 0.72))),
        _ => polygon(&[(-5.0, -2.4), (5.0, -2.4), (5.0, 2.4), (-5.0, 2.4)]),
    }
}

/// Corners of a thick plus.
const PLUS: [Place; 12] = [
    (-1.6, -5.0),
    (1.6, -5.0),
    (1.6, -1.6),
    (5.0, -1.6),
    (5.0, 1.6),
    (1.6, 1.6),
    (1.6, 5.0),
    (-1.6, 5.0),
    (-1.6, 1.6),
    (-5.0, 1.6),
    (-5.0, -1.6),
    (-1.6, -1.6),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_always_numbers() {
        for (value, text) in [
            (1.0, "1"),
            (0.126, "0.13"),
            (-0.001, "0"),
            (f64::NAN, "0"),
            (100.0, "100"),
        ] {
            assert_eq!(coordinate(value), text);
        }
    }

    #[test]
    fn what_is_too_long_ends_in_dots() {
        assert_eq!(wrapped("no ratio: a makespan", 70.0), ["no ratio:", "a makespan"]);
        assert_eq!(shorten("threads x16", 200.0), "threads x16");
        assert_eq!(shorten("hybrid:4 x16 per-worker", 84.0), "hybrid:4 x1…");
    }
}
