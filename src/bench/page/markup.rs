//! Pieces of HTML: escaped text, figures, tables that scroll in a box of their own.

/// `text` so that it is text anywhere in a document, also within quotes. Control characters, which no document may
/// hold, are left out.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ if character.is_control() && !character.is_whitespace() => {}
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A picture under its title, and what it shows in words.
pub(super) fn figure(title: &str, picture: &str, finding: &str) -> String {
    format!(
        "<figure><h4>{}</h4>{picture}<figcaption>{}</figcaption></figure>\n",
        escape(title),
        escape(finding)
    )
}

/// Figures that belong together under a question; nothing without figures.
pub(super) fn chapter(question: &str, figures: &[String]) -> String {
    let figures = figures.concat();
    if figures.is_empty() {
        return String::new();
    }
    format!(
        "<h3>{}</h3>\n<div class=\"figures\">\n{figures}</div>\n",
        escape(question)
    )
}

/// A heading of a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// What it holds.
    pub(super) title: &'static str,
    /// In which unit; may be empty.
    pub(super) unit: &'static str,
}

/// A table whose first column names the rows. Its cells are HTML already.
pub(super) fn table(caption: &str, columns: &[Column], rows: &[Vec<String>]) -> String {
    let head: String = columns
        .iter()
        .map(|column| {
            let unit = match column.unit {
                "" => String::new(),
                unit => format!("<small>{}</small>", escape(unit)),
            };
            format!("<th scope=\"col\">{}{unit}</th>", escape(column.title))
        })
        .collect();
    let body: String = rows.iter().map(|row| table_row(row)).collect();
    let caption = escape(caption);
    format!(
        "<p class=\"about\">{caption}</p>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" \
         aria-label=\"{caption}\"><table aria-label=\"{caption}\"><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>\n"
    )
}

fn table_row(row: &[String]) -> String {
    let mut cells = row.iter();
    let first = cells
        .next()
        .map_or(String::new(), |first| format!("<th scope=\"row\">{first}</th>"));
    let rest: String = cells.map(|cell| format!("<td>{cell}</td>")).collect();
    format!("<tr>{first}{rest}</tr>\n")
}

/// Terms and what they are, as HTML.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let rows: String = facts
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(term, value)| format!("<div><dt>{}</dt><dd>{value}</dd></div>", escape(term)))
        .collect();
    format!("<dl class=\"facts\">{rows}</dl>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(
            escape("<a href=\"x\">'&"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;"
        );
        assert_eq!(escape("a\u{0}b\u{1b}[31m\nc"), "ab[31m\nc");
    }

    #[test]
    fn a_chapter_without_figures_is_left_out() {
        assert_eq!(chapter("Why?", &[]), "");
        assert_eq!(chapter("Why?", &[String::new()]), "");
    }
}
