//! The presets: listed, and their published figures beside ours.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::super::json;
use super::super::output_args::{OutputArgs, OutputFormat};
use super::super::printer;
use crate::bench::presets::PRESETS;
use crate::bench::report::{ArticleRow, Group, Measure, Published, Report};

/// `bench presets`: a line each.
pub(super) fn list(output: &OutputArgs) {
    for preset in &PRESETS {
        if output.output == OutputFormat::Json {
            let line = serde_json::json!({ "id": preset.id, "name": preset.name, "line": preset.line });
            json::line("preset", line);
        } else {
            printer::data(&format!("{:<11} {:<15} {}", preset.id, preset.name, preset.line));
        }
    }
    if output.output == OutputFormat::Text {
        printer::data(&format!(
            "{:<11} {:<15} all of them, beside what was published",
            "articles", ""
        ));
    }
}

/// Published figures beside ours, and the sentence why they differ; none when no group repeats an article.
pub(super) fn beside_published(report: &Report) -> Option<String> {
    let rows: Vec<(&Group, &ArticleRow)> = report
        .groups
        .iter()
        .filter_map(|group| Some((group, group.article.as_ref()?)))
        .filter(|(_, article)| !article.published.is_empty())
        .collect();
    if rows.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table
        .load_style(UTF8_BORDERS_ONLY)
        .set_header(["", "what was timed", "published", "ours", "by"]);
    let mut sentences = Vec::new();
    for (group, article) in rows {
        for published in &article.published {
            table.add_row([
                article.id.clone(),
                published.what.clone(),
                published.seconds.map_or_else(|| "-".to_owned(), seconds),
                ours(group, published),
                match published.measure {
                    Measure::Makespan => published.cell.clone(),
                    Measure::AllBegun => format!("{}, all begun", published.cell),
                    Measure::StartProcesses => format!("{}, processes started", published.cell),
                },
            ]);
        }
        sentences.push(format!("{}: {}", article.id, article.why));
    }
    for column in [2, 3] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    Some(format!("{table}\n{}", sentences.join("\n")))
}

fn seconds(seconds: f64) -> String {
    let millis = seconds * 1e3;
    match seconds {
        _ if seconds < 0.1 => format!("{millis:.1} ms"),
        _ if seconds < 1.0 => format!("{millis:.0} ms"),
        _ => format!("{seconds:.2} s"),
    }
}

fn ours(group: &Group, published: &Published) -> String {
    let Some(ours) = group.beside(published) else {
        return "-".to_owned();
    };
    if ours.low == ours.high {
        return seconds(ours.estimate);
    }
    format!(
        "{} [{}, {}]",
        seconds(ours.estimate),
        seconds(ours.low),
        seconds(ours.high)
    )
}
