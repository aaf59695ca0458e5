//! What happened to a flow, as SVG: its window over time, and every segment and acknowledgment.

use crate::device::impair::Fate;
use crate::sim::{Report, Sample, Segment, Timeline, Track};
use core::time::Duration;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::collections::HashSet;

const SIZE: (u32, u32) = (1200, 700);
/// Columns that lines are thinned to, and cells of either axis that marks are.
const COLUMNS: usize = 1200;

/// Room above what is to be seen, for the legend.
const ROOM: f64 = 1.25;
/// The least height of a bar, as a part of the whole: lower ones could not be seen.
const LEAST_BAR: f64 = 0.004;

const SENT: RGBColor = RGBColor(70, 110, 180);
const AGAIN: RGBColor = RGBColor(205, 40, 40);
const LOST: RGBColor = RGBColor(240, 150, 30);
const ACKED: RGBColor = RGBColor(40, 140, 70);
const SACKED: RGBColor = RGBColor(150, 80, 180);
const GREY: RGBColor = RGBColor(110, 110, 110);

type Failed = Box<dyn core::error::Error>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Every plot of a run: a file's name and its SVG.
pub(super) fn all(timeline: &Timeline, report: &Report) -> Result<Vec<(String, String)>, Failed> {
    let mut out = Vec::new();
    for flow in 0..report.flows.len() {
        for (side, host) in ["client", "server"].into_iter().enumerate() {
            let track = timeline.track(flow, side);
            // Who sent nothing but SYN and FIN has nothing to show.
            if report.flows[flow].written[side] == 0 || track.segments.is_empty() {
                continue;
            }
            let title = format!("flow {flow}, {host}, seed {}", report.seed);
            out.push((format!("flow{flow}-{host}-window.svg"), window(track, &title)?));
            out.push((format!("flow{flow}-{host}-sequence.svg"), sequence(track, &title)?));
        }
    }
    Ok(out)
}

/// The end of the last thing to be seen, in seconds.
fn end(track: &Track) -> f64 {
    let last = [track.segments.last().map(|s| s.at), track.acks.last().map(|a| a.at)].into_iter().flatten().max();
    last.unwrap_or(Duration::ZERO).as_secs_f64().max(1e-3)
}

/// Congestion window, slow-start threshold and bytes in flight; below them the smoothed round-trip time.
fn window(track: &Track, title: &str) -> Result<String, Failed> {
    let end = end(track);
    let samples: Vec<Sample> = track.samples.iter().filter(|s| s.at.as_secs_f64() <= end).copied().collect();
    let kib = |bytes: u32| f64::from(bytes) / 1024.0;
    let lines = [
        ("cwnd", SENT, steps(&samples, end, |s| Some(kib(s.cwnd)))),
        ("bytes in flight", ACKED, steps(&samples, end, |s| Some(kib(s.in_flight)))),
        ("ssthresh", AGAIN, steps(&samples, end, |s| s.ssthresh.map(kib))),
    ];
    let rtt = [("srtt", SACKED, steps(&samples, end, |s| Some(s.srtt?.as_secs_f64() * 1e3)))];
    svg(|area| {
        let (upper, lower) = area.split_vertically(SIZE.1 * 2 / 3);
        chart(&upper, &format!("{title}: window"), "KiB", end, &lines)?;
        chart(&lower, "smoothed round trip", "ms", end, &rtt)
    })
}

fn svg(draw: impl FnOnce(&Area<'_>) -> Result<(), Failed>) -> Result<String, Failed> {
    let mut out = String::new();
    {
        let area = SVGBackend::with_string(&mut out, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    Ok(out)
}

type Line = (&'static str, RGBColor, Vec<Vec<(f64, f64)>>);

fn chart(area: &Area<'_>, title: &str, unit: &str, end: f64, lines: &[Line]) -> Result<(), Failed> {
    let highest = lines.iter().flat_map(|(_, _, parts)| parts.iter().flatten()).map(|p| p.1).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..end, 0.0..highest * ROOM)?;
    mesh(&mut chart, unit)?;
    for (name, color, parts) in lines {
        let color = *color;
        for (i, part) in parts.iter().enumerate() {
            let series = chart.draw_series(LineSeries::new(part.iter().copied(), color.stroke_width(2)))?;
            if i == 0 {
                series
                    .label(*name)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
            }
        }
    }
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}

type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn mesh<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, unit: &str) -> Result<(), Failed> {
    let number = |n: &f64| n.to_string();
    let mesh = &mut chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT).x_desc("seconds").y_desc(unit);
    Ok(mesh.x_label_formatter(&number).y_label_formatter(&number).draw()?)
}

fn legend<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, place: SeriesLabelPosition) -> Result<(), Failed> {
    let labels = &mut chart.configure_series_labels();
    let labels = labels.position(place).margin(8).background_style(WHITE.mix(0.85));
    Ok(labels.border_style(GREY).draw()?)
}

/// A number that holds until the next sample, as a line with steps; several lines, where there was no number meanwhile.
fn steps(samples: &[Sample], end: f64, number: impl Fn(&Sample) -> Option<f64>) -> Vec<Vec<(f64, f64)>> {
    let mut parts: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut last = None;
    for sample in samples {
        let (at, value) = (sample.at.as_secs_f64(), number(sample));
        match (last, value) {
            (None, Some(value)) => parts.push(vec![(at, value)]),
            (Some(before), _) => {
                if let Some(part) = parts.last_mut() {
                    part.push((at, before));
                    part.extend(value.map(|value| (at, value)));
                }
            }
            (None, None) => {}
        }
        last = value;
    }
    if let (Some(value), Some(part)) = (last, parts.last_mut()) {
        part.push((end, value));
    }
    parts.into_iter().map(|part| thin(&part, end)).collect()
}

/// Of all points in a column the first, the lowest, the highest and the last: the others would not be seen.
fn thin(points: &[(f64, f64)], end: f64) -> Vec<(f64, f64)> {
    let column = |p: &(f64, f64)| (p.0 / end * COLUMNS as f64) as usize;
    let mut out = Vec::new();
    for part in points.chunk_by(|a, b| column(a) == column(b)) {
        let by = |i: &usize, j: &usize| part[*i].1.total_cmp(&part[*j].1);
        let (low, high) = ((0..part.len()).min_by(by), (0..part.len()).max_by(by));
        let mut keep: Vec<usize> = [Some(0), low, high, Some(part.len() - 1)].into_iter().flatten().collect();
        keep.sort_unstable();
        keep.dedup();
        out.extend(keep.into_iter().map(|i| part[i]));
    }
    out
}

/// A mark from one sequence number to another.
struct Mark {
    at: f64,
    from: f64,
    to: f64,
}

/// Every segment as a bar over the numbers that it carries, acknowledgments as a line below, SACKed numbers as bars.
fn sequence(track: &Track, title: &str) -> Result<String, Failed> {
    let end = end(track);
    let kib = |number: u64| number as f64 / 1024.0;
    let highest = kib(track.segments.iter().map(|s| s.to).max().unwrap_or(1)).max(1e-3);
    let bar = |s: &Segment| Mark { at: s.at.as_secs_f64(), from: kib(s.from), to: kib(s.to) };
    let segments =
        |wanted: &dyn Fn(&Segment) -> bool| cells(track.segments.iter().filter(|s| wanted(s)).map(bar), end, highest);
    let blocks = track
        .acks
        .iter()
        .flat_map(|a| a.sacks.iter().map(|&(from, to)| Mark { at: a.at.as_secs_f64(), from: kib(from), to: kib(to) }));
    let marks = [
        ("SACKed", SACKED.mix(0.35), 1, cells(blocks, end, highest)),
        ("sent", SENT.mix(1.0), 2, segments(&|s| !s.again)),
        ("sent again", AGAIN.mix(1.0), 3, segments(&|s| s.again)),
    ];
    let mut acked = Vec::new();
    for ack in &track.acks {
        let at = ack.at.as_secs_f64();
        acked.extend(acked.last().map(|&(_, before)| (at, before)));
        acked.push((at, kib(ack.ack)));
    }
    let lost = segments(&|s| s.fate != Fate::Carried);
    svg(|area| {
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{title}: time and sequence"), ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(34)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..end, 0.0..highest * 1.02)?;
        mesh(&mut chart, "KiB")?;
        for (name, color, width, marks) in &marks {
            let style = color.stroke_width(*width);
            let top = |m: &Mark| m.to.max(m.from + highest * LEAST_BAR);
            let bars = marks.iter().map(|m| PathElement::new([(m.at, m.from), (m.at, top(m))], style));
            let series = chart.draw_series(bars)?;
            series.label(*name).legend(move |(x, y)| PathElement::new([(x + 9, y - 6), (x + 9, y + 6)], style));
        }
        chart
            .draw_series(LineSeries::new(thin(&acked, end), ACKED.stroke_width(2)))?
            .label("acknowledged")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], ACKED.stroke_width(3)));
        let style = LOST.stroke_width(2);
        chart
            .draw_series(lost.iter().map(|m| Cross::new((m.at, (m.from + m.to) / 2.0), 4, style)))?
            .label("lost on the way")
            .legend(move |(x, y)| Cross::new((x + 9, y), 4, style));
        // Below what was acknowledged there is nothing to be seen.
        legend(&mut chart, SeriesLabelPosition::LowerRight)
    })
}

/// Marks that can be told apart in a picture.
fn cells(marks: impl Iterator<Item = Mark>, end: f64, highest: f64) -> Vec<Mark> {
    let cell = |value: f64, of: f64| (value / of * COLUMNS as f64) as u32;
    let mut seen = HashSet::new();
    marks.filter(|m| seen.insert((cell(m.at, end), cell(m.from, highest), cell(m.to, highest)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Scenario, World};

    #[test]
    fn a_plot_shows_losses_and_repairs_and_stays_small() {
        let mut scenario = Scenario::transfer(1, 3_000_000);
        scenario.set_link("delay=10ms,rate=20Mbit,queue=50kB,loss=1%".parse().unwrap());
        let mut timeline = Timeline::new(&scenario);
        let report = World::new(scenario).watch(&mut |at, event| timeline.record(at, event)).run();
        let plots = all(&timeline, &report).unwrap();
        let names: Vec<&str> = plots.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["flow0-client-window.svg", "flow0-client-sequence.svg"]);
        for (name, svg) in &plots {
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{name}");
            assert!(svg.len() < 2_000_000, "{name}: {} bytes", svg.len());
        }
        let count = |svg: &str, color: RGBColor| {
            svg.matches(&format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2)).count()
        };
        let sequence = &plots[1].1;
        assert!(count(sequence, AGAIN) > 15 && count(sequence, LOST) > 15 && count(sequence, SENT) > 500);
        assert!(["cwnd", "ssthresh", "bytes in flight", "srtt"].iter().all(|name| plots[0].1.contains(name)));
    }

    #[test]
    fn thinning_keeps_the_extremes() {
        let points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i) / 1e5, f64::from(i % 777))).collect();
        let thinned = thin(&points, 1.0);
        assert!(thinned.len() <= 4 * (COLUMNS + 1));
        assert_eq!(thinned.iter().map(|p| p.1).fold(0.0, f64::max), 776.0);
        assert!(thinned.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn a_number_that_is_missing_leaves_a_gap() {
        let sample =
            |ms, ssthresh| Sample { at: Duration::from_millis(ms), cwnd: 1, ssthresh, in_flight: 0, srtt: None };
        let samples = [sample(0, None), sample(1000, Some(5)), sample(2000, None), sample(3000, Some(7))];
        let lines = steps(&samples, 4.0, |s| s.ssthresh.map(f64::from));
        assert_eq!(lines, [vec![(1.0, 5.0), (2.0, 5.0)], vec![(3.0, 7.0), (4.0, 7.0)]]);
    }
}
