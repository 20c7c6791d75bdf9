//! Line charts as SVG, in one hand-written file each.
//!
//! A chart has no background of its own and draws its text and axes in a grey of equal contrast to white and
//! to black, so it can stand on either. Colours are those of Okabe and Ito, told apart by the colour-blind;
//! lines differ in dash as well where they come in pairs. Numbers are printed with few digits, so that a
//! chart measured again with the same seed is the same file.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
/// Left, right, top and bottom margins.
const MARGINS: (f64, f64, f64, f64) = (64.0, 36.0, 44.0, 52.0);

/// The colours lines take in turn.
const COLOURS: [&str; 6] = ["#2f81c4", "#d55e00", "#0a9e73", "#c2679f", "#c98b00", "#7a7f3f"];

/// How values spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// Evenly, from the first to the second.
    Linear(f64, f64),
    /// By ratio, from the first to the second.
    Logarithmic(f64, f64),
}

impl Scale {
    /// Where a value lies, 0 at the beginning and 1 at the end.
    fn place(self, value: f64) -> f64 {
        match self {
            Scale::Linear(from, to) => (value - from) / (to - from),
            Scale::Logarithmic(from, to) => (value / from).ln() / (to / from).ln(),
        }
    }
}

/// An axis.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// What it shows, with its unit.
    pub label: &'static str,
    /// Its extent.
    pub scale: Scale,
    /// Values marked, with their text.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis marked at these values.
    pub fn new(label: &'static str, scale: Scale, ticks: &[f64], unit: &str) -> Self {
        let ticks = ticks.iter().map(|&value| (value, format!("{}{unit}", number(value)))).collect();
        Axis { label, scale, ticks }
    }
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    /// Through its points.
    Solid,
    /// The same, dashed.
    Dashed,
    /// Only its points.
    Dots,
}

/// A line with its name.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// For the legend.
    pub name: String,
    /// Which of the colours.
    pub colour: usize,
    /// How.
    pub stroke: Stroke,
    /// Along x.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// Above it.
    pub title: &'static str,
    /// Below.
    pub x: Axis,
    /// To the left.
    pub y: Axis,
    /// In the order of the legend.
    pub lines: Vec<Line>,
}

impl Chart {
    /// The file.
    pub fn to_svg(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("writing to a string does not fail");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#767b80\">"
        )?;
        writeln!(out, "<title>{}</title>", escape(self.title))?;
        let (left, _, top, _) = MARGINS;
        writeln!(
            out,
            "<text x=\"{left}\" y=\"{}\" font-size=\"16\" font-weight=\"600\">{}</text>",
            top - 18.0,
            escape(self.title)
        )?;
        self.axes(out)?;
        self.lines.iter().try_for_each(|line| self.line(out, line))?;
        self.legend(out)?;
        writeln!(out, "</svg>")
    }

    fn x(&self, value: f64) -> f64 {
        let (left, right, ..) = MARGINS;
        left + self.x.scale.place(value).clamp(0.0, 1.0) * (WIDTH - left - right)
    }

    fn y(&self, value: f64) -> f64 {
        let (_, _, top, bottom) = MARGINS;
        HEIGHT - bottom - self.y.scale.place(value).clamp(0.0, 1.0) * (HEIGHT - top - bottom)
    }

    fn axes(&self, out: &mut String) -> std::fmt::Result {
        let (left, right, top, bottom) = MARGINS;
        let (end_x, end_y) = (WIDTH - right, HEIGHT - bottom);
        for (value, text) in &self.x.ticks {
            let x = self.x(*value);
            writeln!(
                out,
                "<path d=\"M{x:.1} {top}V{end_y}\" stroke=\"#767b80\" stroke-opacity=\"0.25\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                end_y + 18.0
            )?;
        }
        for (value, text) in &self.y.ticks {
            let y = self.y(*value);
            writeln!(
                out,
                "<path d=\"M{left} {y:.1}H{end_x}\" stroke=\"#767b80\" stroke-opacity=\"0.25\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                left - 8.0,
                y + 4.5
            )?;
        }
        writeln!(out, "<path d=\"M{left} {top}V{end_y}H{end_x}\" fill=\"none\" stroke=\"#767b80\"/>")?;
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            (left + end_x) / 2.0,
            HEIGHT - 12.0,
            escape(self.x.label)
        )?;
        let middle = (top + end_y) / 2.0;
        writeln!(
            out,
            "<text transform=\"translate(16 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escape(self.y.label)
        )
    }

    fn line(&self, out: &mut String, line: &Line) -> std::fmt::Result {
        let colour = COLOURS[line.colour % COLOURS.len()];
        let inside = |x: f64| (0.0..=1.0).contains(&self.x.scale.place(x));
        let points = line.points.iter().filter(|(x, _)| inside(*x)).map(|&(x, y)| (self.x(x), self.y(y)));
        if line.stroke == Stroke::Dots {
            for (x, y) in points {
                writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>")?;
            }
            return Ok(());
        }
        write!(out, "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"")?;
        if line.stroke == Stroke::Dashed {
            write!(out, " stroke-dasharray=\"6 4\"")?;
        }
        write!(out, " points=\"")?;
        for (x, y) in points {
            write!(out, "{x:.1},{y:.1} ")?;
        }
        writeln!(out, "\"/>")
    }

    /// At the lower right, where a distribution function leaves room; a chart whose lines end there has it at
    /// the upper left.
    fn legend(&self, out: &mut String) -> std::fmt::Result {
        let widest = self.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        let (wide, high) = (widest as f64 * 7.0 + 44.0, self.lines.len() as f64 * 19.0);
        let (left, right, top, bottom) = MARGINS;
        let rising = self.lines.iter().all(|line| {
            line.points.last().zip(line.points.first()).is_some_and(|(last, first)| last.1 > first.1)
        });
        let distribution = self.y.scale == Scale::Linear(0.0, 1.0);
        let (x, y) = match (distribution, rising) {
            (true, _) => (WIDTH - right - wide, HEIGHT - bottom - high - 6.0),
            (false, true) => (left + 12.0, top + 4.0),
            (false, false) => (WIDTH - right - wide, top + 4.0),
        };
        for (row, line) in self.lines.iter().enumerate() {
            let y = y + row as f64 * 19.0 + 10.0;
            let colour = COLOURS[line.colour % COLOURS.len()];
            match line.stroke {
                Stroke::Dots => {
                    writeln!(out, "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>", x + 14.0)?
                }
                stroke => {
                    let dash = if stroke == Stroke::Dashed { " stroke-dasharray=\"6 4\"" } else { "" };
                    writeln!(
                        out,
                        "<path d=\"M{x:.1} {y:.1}h28\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>"
                    )?;
                }
            }
            writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 36.0, y + 4.5, escape(&line.name))?;
        }
        Ok(())
    }
}

/// A number without needless digits.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let line =
            |stroke| Line { name: "a < b".into(), colour: 0, stroke, points: vec![(1.0, 0.0), (100.0, 1.0)] };
        Chart {
            title: "Title & more",
            x: Axis::new("time", Scale::Logarithmic(1.0, 100.0), &[1.0, 10.0, 100.0], " ms"),
            y: Axis::new("share", Scale::Linear(0.0, 1.0), &[0.0, 0.5, 1.0], ""),
            lines: vec![line(Stroke::Solid), line(Stroke::Dashed), line(Stroke::Dots)],
        }
    }

    #[test]
    fn places_are_where_they_belong() {
        assert_eq!(Scale::Linear(10.0, 20.0).place(15.0), 0.5);
        assert!((Scale::Logarithmic(1.0, 100.0).place(10.0) - 0.5).abs() < 1e-12);
        let chart = chart();
        assert_eq!((chart.x(1.0), chart.x(100.0)), (64.0, 684.0));
        assert_eq!((chart.y(0.0), chart.y(1.0)), (368.0, 44.0));
        assert_eq!(chart.y(7.0), 44.0, "what lies outside is drawn at the edge");
    }

    #[test]
    fn the_file_is_whole_and_its_text_is_escaped() {
        let svg = chart().to_svg();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("Title &amp; more") && svg.contains("a &lt; b") && svg.contains(">10 ms<"));
        assert_eq!(svg.matches("<polyline").count(), 2);
        let opened = svg.matches('<').count() - svg.matches("</").count();
        assert_eq!(opened, svg.matches("</").count() + svg.matches("/>").count(), "every element is closed");
    }
}
