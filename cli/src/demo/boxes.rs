//! A table in boxes, whose cells have several lines.

use std::fmt;

/// Rows under a head.
#[derive(Clone, Debug)]
pub(crate) struct Boxes {
    rows: Vec<Vec<Vec<String>>>,
}

impl Boxes {
    /// A table with this head and no rows.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|title| vec![(*title).to_owned()]).collect()] }
    }

    /// Adds a row; each cell is its lines.
    pub(crate) fn row(&mut self, cells: Vec<Vec<String>>) {
        self.rows.push(cells);
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.flatten().map(|line| line.chars().count()).max().unwrap_or_default()
        };
        (0..columns).map(width).collect()
    }
}

impl fmt::Display for Boxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let rule = |[left, cross, right]: [&str; 3]| {
            let bars: Vec<_> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
            format!("{left}{}{right}", bars.join(cross))
        };
        writeln!(f, "{}", rule(["┌", "┬", "┐"]))?;
        for (i, row) in self.rows.iter().enumerate() {
            if i > 0 {
                writeln!(f, "{}", rule(["├", "┼", "┤"]))?;
            }
            let height = row.iter().map(Vec::len).max().unwrap_or_default();
            for line in 0..height {
                for (column, width) in widths.iter().enumerate() {
                    let text = row.get(column).and_then(|cell| cell.get(line));
                    write!(f, "│ {:<width$} ", text.map_or("", String::as_str))?;
                }
                writeln!(f, "│")?;
            }
        }
        write!(f, "{}", rule(["└", "┴", "┘"]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_several_lines_line_up() {
        let mut boxes = Boxes::new(&["a", "column"]);
        let cell = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        boxes.row(vec![cell(&["×1", "two"]), cell(&["x"])]);
        boxes.row(vec![cell(&[]), cell(&["y"])]);
        let expected = "\
┌─────┬────────┐
│ a   │ column │
├─────┼────────┤
│ ×1  │ x      │
│ two │        │
├─────┼────────┤
│     │ y      │
└─────┴────────┘";
        assert_eq!(boxes.to_string(), expected);
    }
}
