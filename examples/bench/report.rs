//! Medians of all rounds, as a table in Markdown and as a picture.

use crate::Outcome;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead};

/// Rate, rate per CPU second, 99th percentile in microseconds.
type Figures = [f64; 3];

/// What was measured of each contender in each case, in the order of the rounds.
#[derive(Default)]
struct Results {
    contenders: Vec<String>,
    cases: Vec<String>,
    rounds: BTreeMap<(String, String), Vec<Figures>>,
}

/// Reads lines of contender, case and figures; writes Markdown to the standard output and a picture to `svg`.
pub fn run(svg: &str) -> Outcome {
    let mut results = Results::default();
    for line in io::stdin().lock().lines() {
        results.add(&line?)?;
    }
    print!("{}", results.markdown());
    std::fs::write(svg, results.svg())?;
    Ok(())
}

impl Results {
    fn add(&mut self, line: &str) -> Outcome {
        let cells: Vec<&str> = line.split('\t').collect();
        let [contender, case, rate, efficiency, p99] = cells[..] else {
            return Err(format!("not a result: {line:?}").into());
        };
        for (list, name) in [(&mut self.contenders, contender), (&mut self.cases, case)] {
            if !list.iter().any(|known| known == name) {
                list.push(name.into());
            }
        }
        let figures = [rate.parse()?, efficiency.parse()?, p99.parse()?];
        self.rounds.entry((contender.into(), case.into())).or_default().push(figures);
        Ok(())
    }

    /// The median of figure `which`; `None` if it was never measured.
    fn median(&self, contender: &str, case: &str, which: usize) -> Option<f64> {
        let rounds = self.rounds.get(&(contender.into(), case.into()))?;
        let mut values: Vec<f64> = rounds.iter().map(|figures| figures[which]).collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values.get((values.len() - 1) / 2)?, values.get(values.len() / 2)?);
        Some((low + high) / 2.0)
    }

    fn markdown(&self) -> String {
        let mut out = String::new();
        let tables = [
            ("Gbit/s, or thousand exchanges a second", 0),
            ("The same per CPU second of the server's process", 1),
            ("99th percentile of an exchange, in microseconds", 2),
        ];
        for (title, which) in tables {
            let cases: Vec<&str> =
                self.cases.iter().map(String::as_str).filter(|case| which < 2 || is_exchange(case)).collect();
            if cases.is_empty() {
                continue;
            }
            let _ = writeln!(out, "**{title}**\n\n| | {} |\n|---|{}", cases.join(" | "), "---|".repeat(cases.len()));
            for contender in &self.contenders {
                let cell = |case: &&str| {
                    let median = self.median(contender, case, which);
                    median.map_or("-".into(), |value| shown(value / if which < 2 { unit(case) } else { 1.0 }))
                };
                let _ = writeln!(out, "| {contender} | {} |", cases.iter().map(cell).collect::<Vec<_>>().join(" | "));
            }
            out.push('\n');
        }
        out
    }

    /// A group of bars for each case, each group to its own scale.
    fn svg(&self) -> String {
        const WIDTH: usize = 760;
        const LABEL: usize = 190;
        const BAR: usize = 16;
        const TOP: usize = 24;
        let group = TOP + self.contenders.len() * BAR + 14;
        let height = self.cases.len() * group;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        for (at, case) in self.cases.iter().enumerate() {
            let top = at * group;
            let rate = if is_exchange(case) { "thousand a second" } else { "Gbit/s" };
            let _ = writeln!(
                out,
                "<text x=\"4\" y=\"{}\" font-weight=\"bold\">{case}: {} ({rate})</text>",
                top + 16,
                what(case)
            );
            let rates: Vec<f64> = self.contenders.iter().map(|c| self.median(c, case, 0).unwrap_or(0.0)).collect();
            let most = rates.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
            for (row, (contender, rate)) in self.contenders.iter().zip(&rates).enumerate() {
                let y = top + TOP + row * BAR;
                let width = rate / most * (WIDTH - LABEL - 60) as f64;
                let colour = if contender.starts_with("tunstack") { "#c0392b" } else { "#7f8c8d" };
                let _ = writeln!(
                    out,
                    "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{contender}</text>\
                     <rect x=\"{LABEL}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>\
                     <text x=\"{:.1}\" y=\"{}\">{}</text>",
                    LABEL - 6,
                    y + 11,
                    BAR - 3,
                    LABEL as f64 + width + 4.0,
                    y + 11,
                    shown(rate / unit(case)),
                );
            }
        }
        out + "</svg>\n"
    }
}

/// What a case is, in words.
fn what(case: &str) -> String {
    let digits = case.find(|c: char| c.is_ascii_digit()).unwrap_or(case.len());
    let (kind, number) = case.split_at(digits);
    let what = match kind {
        "up" => "kernel to server",
        "down" => "server to kernel",
        "rr" => "one byte and back",
        _ => "connect, one byte and back, close",
    };
    format!("{what}, {number} at once")
}

fn is_exchange(case: &str) -> bool {
    case.contains("rr")
}

/// What a figure is divided by to be shown.
fn unit(case: &str) -> f64 {
    if is_exchange(case) { 1e3 } else { 1e9 }
}

/// Three digits, more or less.
fn shown(value: f64) -> String {
    match value {
        _ if value >= 99.95 => format!("{value:.0}"),
        _ if value >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
