//! What was measured, beside what was published.

use std::fmt;

use crate::svg::Chart;

/// One published number and ours.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is measured.
    pub what: String,
    /// The number as published.
    pub published: String,
    /// How far ours may be from it.
    pub tolerance: &'static str,
    /// Ours, in the paper's manner: followers become candidates at once, lookups go by fingers alone.
    pub measured: String,
    /// Ours as it is: followers ask first, lookups go by successor lists and try again. Empty where that makes no difference or no
    /// sense.
    pub asking: String,
    /// Whether `measured` is within the tolerance; nothing where there is no number to compare with.
    pub agrees: Option<bool>,
}

/// A chart, ready to be written to a file.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// The file's name.
    pub file: &'static str,
    /// Its content.
    pub svg: String,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The table.
    pub rows: Vec<Row>,
    /// The charts.
    pub drawings: Vec<Drawing>,
}

impl Report {
    pub(crate) fn draw(&mut self, file: &'static str, chart: &Chart) {
        self.drawings.push(Drawing { file, svg: chart.to_svg() });
    }

    /// Whether every number that has a tolerance agrees. Where only the shape can be compared, the table
    /// tells, but nothing depends on it.
    pub fn agrees(&self) -> bool {
        self.rows.iter().all(|row| row.agrees != Some(false) || row.tolerance == "shape")
    }
}

/// The table, in Markdown.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| figure | published | tolerance | measured | ours as it is | agrees |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let agrees = match row.agrees {
                Some(true) => "yes",
                Some(false) => "no",
                None => "",
            };
            let Row { what, published, tolerance, measured, asking, .. } = row;
            writeln!(f, "| {what} | {published} | {tolerance} | {measured} | {asking} | {agrees} |")?;
        }
        Ok(())
    }
}
