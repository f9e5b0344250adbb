//! The cells of a group as pictures show them: names, letters, and which of many stand out.

use crate::bench::report::{Arm, CellResult, Figures, Group, Role, Verdict};

use super::svg::LOOKS;

/// Of many cells, so many of the fastest stand out, the rest of the looks being for the baseline and the slowest.
const FASTEST: usize = 4;

/// A group with what all of its pictures have in common.
pub(super) struct View<'a> {
    /// The group.
    pub(super) group: &'a Group,
    /// Positions of the cells that stand out: each has its own colour, dash and mark.
    strong: Vec<usize>,
}

impl<'a> View<'a> {
    /// Chooses what stands out.
    pub(super) fn of(group: &'a Group) -> Self {
        Self {
            group,
            strong: strong(group),
        }
    }

    /// Its cells with their positions.
    pub(super) fn cells(&self) -> impl DoubleEndedIterator<Item = (usize, &'a CellResult)> + use<'a> {
        self.group.cells.iter().enumerate()
    }

    /// Cells with figures, and these.
    pub(super) fn measured(&self) -> impl Iterator<Item = (usize, &'a CellResult, &'a Figures)> + use<'a> {
        self.cells()
            .filter_map(|(position, cell)| Some((position, cell, cell.figures.as_ref()?)))
    }

    /// Those of them that did what they should have done: only of these anything is said.
    pub(super) fn sound(&self) -> impl Iterator<Item = (usize, &'a CellResult, &'a Figures)> + use<'a> {
        self.measured().filter(|(_, cell, _)| is_sound(cell))
    }

    /// How the cell looks; none for one of many, in the background.
    pub(super) fn look(&self, position: usize) -> Option<usize> {
        self.strong.iter().position(|strong| *strong == position)
    }

    /// Its letter and name: `B threads x16`; and a warning where it is invalid.
    pub(super) fn title(&self, position: usize) -> String {
        let warning = match self.group.cells.get(position) {
            Some(cell) if !is_sound(cell) => " (invalid)",
            _ => "",
        };
        format!("{}  {}{warning}", letter(position), self.name(position))
    }

    /// Its name, also of the twin, whose label may be that of the baseline.
    pub(super) fn name(&self, position: usize) -> String {
        let Some(cell) = self.group.cells.get(position) else {
            return String::new();
        };
        match cell.role {
            Role::Twin => format!("{} (again)", cell.label),
            Role::Baseline | Role::Candidate => cell.label.clone(),
        }
    }

    /// Positions that stand out, in the order of the group.
    pub(super) fn strong(&self) -> &[usize] {
        &self.strong
    }

    /// What is to be said of cells in the background; nothing without any.
    pub(super) fn about_the_faint(&self) -> String {
        let measured = self.measured().count();
        if measured <= self.strong.len() {
            return String::new();
        }
        format!(
            " Of {measured} cells the baseline, the fastest and the slowest stand out; the others are faint."
        )
    }

    /// What the cell's verdict is in a word.
    pub(super) fn word(cell: &CellResult) -> &'static str {
        match &cell.verdict {
            Verdict::Baseline => "baseline",
            Verdict::Twin => "baseline again",
            Verdict::Faster => "faster",
            Verdict::Slower => "slower",
            Verdict::Inconclusive { .. } => "inconclusive",
            Verdict::DirectionOnly => "direction only",
            Verdict::Suspect { .. } => "suspect",
            Verdict::Invalid { .. } => "invalid",
        }
    }

    /// Whether the block of `arm` does not count.
    pub(super) fn is_excluded(&self, arm: &Arm) -> bool {
        self.group
            .excluded_blocks()
            .iter()
            .any(|block| block.block == arm.block)
    }

    /// What the group is about.
    pub(super) fn heading(&self) -> String {
        format!("{} over {}", self.group.workload.name, self.group.profile.name)
    }
}

/// What is said under a picture of cells none of which did what it should have done.
pub(super) const NONE_SOUND: &str = "All of these cells are invalid: nothing can be said of them.";

/// Whether the cell did what it should have done.
pub(super) fn is_sound(cell: &CellResult) -> bool {
    !matches!(cell.verdict, Verdict::Invalid { .. })
}

/// `A` to `Z`, then `AA` and on.
pub(super) fn letter(position: usize) -> String {
    let last = char::from(b'A' + (position % 26) as u8);
    match position / 26 {
        0 => last.to_string(),
        above => format!("{}{last}", letter(above - 1)),
    }
}

fn strong(group: &Group) -> Vec<usize> {
    let mut by_time: Vec<(usize, f64)> = group
        .cells
        .iter()
        .enumerate()
        .filter_map(|(position, cell)| Some((position, cell.figures.as_ref()?.seconds_per_object)))
        .collect();
    by_time.sort_by(|a, b| a.1.total_cmp(&b.1));
    let positions = |pairs: &[(usize, f64)]| pairs.iter().map(|pair| pair.0).collect::<Vec<_>>();
    let mut chosen = positions(&by_time);
    if chosen.len() > LOOKS {
        // The twin says what the baseline says, and what is invalid may look as fast as it likes.
        by_time.retain(|(position, _)| {
            let cell = &group.cells[*position];
            cell.role == Role::Candidate && is_sound(cell)
        });
        let slowest = by_time.len().saturating_sub(LOOKS - FASTEST - 1).max(FASTEST);
        chosen = positions(&by_time[..FASTEST.min(by_time.len())]);
        chosen.extend(positions(by_time.get(slowest..).unwrap_or_default()));
        let baseline = group.cells.iter().position(|cell| cell.role == Role::Baseline);
        chosen.extend(baseline);
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_go_on_after_z() {
        let letters: Vec<_> = [0, 25, 26, 27, 51, 52].map(letter).into();
        assert_eq!(letters, ["A", "Z", "AA", "AB", "AZ", "BA"]);
    }
}
