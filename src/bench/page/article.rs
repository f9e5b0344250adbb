//! The experiment of an old article that a group repeats: what was published, ours beside it, and why they differ.

use crate::bench::report::Measure;

use super::cells::View;
use super::markup::{Column, escape, table};
use super::numbers::seconds;
use super::table::column;

const COLUMNS: [Column; 4] = [
    column("What was timed", ""),
    column("Published", ""),
    column("Ours", "95 % interval"),
    column("By", ""),
];

/// The table and its sentence; nothing where no article is repeated.
pub(super) fn section(view: &View<'_>) -> String {
    let Some(article) = &view.group.article else {
        return String::new();
    };
    let rows: Vec<Vec<String>> = article
        .published
        .iter()
        .map(|published| {
            let ours = view.group.beside(published).map_or_else(
                || "not measured".to_owned(),
                |ours| match ours.low == ours.high {
                    true => seconds(ours.estimate),
                    false => format!(
                        "{} ({} to {})",
                        seconds(ours.estimate),
                        seconds(ours.low),
                        seconds(ours.high)
                    ),
                },
            );
            let by = match published.measure {
                Measure::Makespan => published.cell.clone(),
                Measure::AllBegun => format!("{}, until all had begun", published.cell),
                Measure::StartProcesses => format!("{}, starting processes", published.cell),
            };
            let told = published.seconds.map_or_else(|| "not told".to_owned(), seconds);
            [published.what.as_str(), &told, &ours, &by].map(escape).to_vec()
        })
        .collect();
    let title = format!("Article {}: {}", article.id, article.title);
    let beside = if rows.is_empty() {
        String::new()
    } else {
        table(&title, &COLUMNS, &rows)
    };
    format!(
        "<h3>{}</h3>\n{beside}<p>{}.</p>\n",
        escape(&title),
        escape(&article.why)
    )
}
