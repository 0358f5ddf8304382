//! A table of cells, as text for a terminal and as Markdown.

use unicode_width::UnicodeWidthStr;

/// Heads and rows; the first column stands left, the others right.
pub struct Grid {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// An empty one with these heads.
    pub fn new<'a>(heads: impl IntoIterator<Item = &'a str>) -> Grid {
        Grid { heads: heads.into_iter().map(ToOwned::to_owned).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let lines = || std::iter::once(&self.heads).chain(&self.rows);
        let width = |at: usize| lines().map(|row| row[at].width()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let mut text = String::new();
        for row in lines() {
            let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
                let space = " ".repeat(width - cell.width());
                if at == 0 { format!("{cell}{space}") } else { format!("{space}{cell}") }
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// To paste.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule: Vec<String> =
            (0..self.heads.len()).map(|at| if at == 0 { "---" } else { "---:" }.to_owned()).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{}{rows}", line(&self.heads), line(&rule))
    }
}

/// One cell of a CSV line: quoted where it must be.
pub fn csv_cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_a_bar_in_a_cell_breaks_no_table() {
        let mut grid = Grid::new(["model", "cold"]);
        grid.row(vec!["日本:7b".to_owned(), "4.20 s".to_owned()]);
        grid.row(vec!["a|b".to_owned(), "-".to_owned()]);
        assert_eq!(grid.text(), "model      cold\n日本:7b  4.20 s\na|b           -\n");
        assert_eq!(
            grid.markdown(),
            "| model | cold |\n| --- | ---: |\n| 日本:7b | 4.20 s |\n| a\\|b | - |\n"
        );
    }

    #[test]
    fn a_comma_or_a_quote_stays_in_its_cell() {
        assert_eq!(csv_cell("plain"), "plain");
        assert_eq!(csv_cell("a, \"b\""), "\"a, \"\"b\"\"\"");
    }
}
