//! Tables whose rows are printed one by one, as they are measured.

use std::io::{IsTerminal, Write};

/// A column: its title and how wide it is; what is in the first ones stands to the left.
#[derive(Clone, Copy, Debug)]
pub struct Column(pub &'static str, pub usize);

/// A table on standard output; while a row is being measured, its name stands on standard error if that is a terminal.
pub struct Table {
    columns: Vec<Column>,
    left: usize,
    live: bool,
}

impl Table {
    /// With these columns, of which the first `left` hold words.
    pub fn new(left: usize, columns: &[Column]) -> Table {
        Table { columns: columns.to_vec(), left, live: std::io::stderr().is_terminal() }
    }

    /// Prints the titles.
    pub fn head(&self) {
        let titles: Vec<String> = self.columns.iter().map(|column| column.0.to_owned()).collect();
        let line = self.line(&titles);
        println!("{line}\n{}", "─".repeat(line.chars().count()));
    }

    /// Says what is being measured, until the row comes.
    pub fn measuring(&self, what: &str) {
        if self.live {
            eprint!("\r\x1b[K… {what}");
            let _ = std::io::stderr().flush();
        }
    }

    /// Prints a row.
    pub fn row(&self, cells: &[String]) {
        if self.live {
            eprint!("\r\x1b[K");
        }
        println!("{}", self.line(cells));
        let _ = std::io::stdout().flush();
    }

    fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (place, (Column(_, width), cell)) in self.columns.iter().zip(cells).enumerate() {
            let gap = if place == 0 { "" } else { "  " };
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            let (before, after) = if place < self.left { ("", padding.as_str()) } else { (padding.as_str(), "") };
            line.extend([gap, before, cell, after]);
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let table = Table::new(1, &[Column("case", 6), Column("µs", 5)]);
        assert_eq!(table.line(&["a".into(), "1.5".into()]), "a         1.5");
        assert_eq!(table.line(&["longer name".into(), "1".into()]), "longer name      1");
    }
}
