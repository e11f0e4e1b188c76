//! Aligned columns.

use berth_spec::escape;

/// Rows under a header. What goes in is escaped, so that names and reasons cannot act on a terminal.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Table {
        Table { rows: vec![header.map(str::to_owned).to_vec()], right: Vec::new() }
    }

    /// Aligns these columns, counted from 0, to the right.
    #[must_use]
    pub(crate) fn right<const N: usize>(mut self, columns: [usize; N]) -> Table {
        self.right = columns.to_vec();
        self
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| escape(cell)).collect());
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows[0].len();
        let width = |cell: &String| cell.chars().count();
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| width(&row[column])).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let space = " ".repeat(widths[column] - width(cell));
                let (before, after) =
                    if self.right.contains(&column) { (&*space, "") } else { ("", &*space) };
                line.push_str(if column == 0 { "" } else { "  " });
                line.push_str(before);
                line.push_str(cell);
                line.push_str(after);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Names and values in two columns without a header; empty values are left out.
pub(crate) fn facts<const N: usize>(facts: [(&str, String); N]) -> String {
    let width =
        facts.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.len()).max().unwrap_or(0);
    facts
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:width$}  {}\n", escape(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_control_characters_are_written_out() {
        let mut table = Table::new(["NAME", "N", "WHY"]).right([1]);
        table.row(["ä".into(), "7".into(), "x\x1b[2Jy".into()]);
        table.row(["longer".into(), "1234".into(), String::new()]);
        insta::assert_snapshot!(table.render(), @r"
        NAME       N  WHY
        ä          7  x\x1b[2Jy
        longer  1234
        ");
    }
}
