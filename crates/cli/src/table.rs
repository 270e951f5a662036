//! The two plain layouts for people.

use comfy_table::{Cell, Table, TableStyle, presets};

/// The frame of the reference: a line between rows, `+` where lines cross.
fn frame() -> TableStyle {
    use comfy_table::{ContentLineStyle, LineStyle};
    const LINE: LineStyle = LineStyle::new('+', '-', '+', '+');
    const CONTENT: ContentLineStyle = ContentLineStyle::new('|', '|', '|');
    TableStyle::new()
        .top_border(LINE)
        .header_lines(CONTENT)
        .header_separator(LINE)
        .content_lines(CONTENT)
        .row_separator(LINE)
        .bottom_border(LINE)
}

/// With frame, left aligned, nothing wrapped.
pub(crate) fn framed(titles: Option<&[&str]>, rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        // A table library closes an empty body with a second line; the reference has one.
        let Some(titles) = titles else { return String::new() };
        let text = draw(frame(), None, &[titles.iter().map(|t| (*t).to_owned()).collect()]);
        return format!("{text}\n");
    }
    format!("{}\n", draw(frame(), titles, rows))
}

/// Without frame and separators; no blanks at the ends of lines.
pub(crate) fn compact(titles: Option<&[&str]>, rows: &[Vec<String>]) -> String {
    let text = draw(presets::NOTHING, titles, rows);
    text.lines().map(|line| format!(" {}\n", line.trim_end())).collect()
}

fn draw(style: TableStyle, titles: Option<&[&str]>, rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(style);
    if let Some(titles) = titles {
        table.set_header(titles.iter().map(Cell::new));
    }
    for row in rows {
        table.add_row(row.iter().map(Cell::new));
    }
    table.to_string()
}
