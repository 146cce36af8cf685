//! The latency of each percentile as SVG: a panel a workload, a line an operation.
//!
//! Both axes are logarithmic. To the right it is one in so many operations that takes longer, so that 90 %, 99 % and 99.9 % are equally
//! far apart: what a service feels is at the right end.

use std::fmt::Write;

use super::mix::Operation;
use super::report::Workload;

const WIDTH: f64 = 720.0;
const PANEL: f64 = 220.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 34.0;

/// Nines at the right end: 99.99 %.
const NINES: f64 = 4.0;

/// Places on a line.
const STEPS: u32 = 80;

/// Decades of microseconds: from 100 us to 10 s.
const LOWEST: f64 = 2.0;
const HIGHEST: f64 = 7.0;

/// The plot.
pub(super) fn svg(workloads: &[Workload]) -> String {
    let height = PANEL * workloads.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (number, workload) in (0_u32..).zip(workloads) {
        panel(&mut out, f64::from(number) * PANEL, workload);
    }
    out + "</svg>\n"
}

fn x(nines: f64) -> f64 {
    LEFT + nines / NINES * (WIDTH - LEFT - RIGHT)
}

fn y(us: f64) -> f64 {
    let place = (us.max(1.0).log10().clamp(LOWEST, HIGHEST) - LOWEST) / (HIGHEST - LOWEST);
    PANEL - BOTTOM - place * (PANEL - TOP - BOTTOM)
}

fn colour(operation: Operation) -> &'static str {
    match operation {
        Operation::Read => "#1b6ca8",
        Operation::Update => "#c0392b",
        Operation::Insert => "#2e8b57",
        Operation::ReadModifyWrite => "#8e44ad",
    }
}

fn panel(out: &mut String, top: f64, workload: &Workload) {
    let letter = format!("{:?}", workload.workload).to_lowercase();
    let mut say = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("text grows");
    say(format_args!("<g transform=\"translate(0 {top})\">\n"));
    say(format_args!(
        "<text x=\"{LEFT}\" y=\"18\" font-weight=\"bold\">workload {letter}: {:.0} operations/s</text>\n",
        workload.per_second
    ));
    for (us, label) in [
        (1e2, "0.1 ms"),
        (1e3, "1 ms"),
        (1e4, "10 ms"),
        (1e5, "100 ms"),
        (1e6, "1 s"),
        (1e7, "10 s"),
    ] {
        let (at, end) = (y(us), WIDTH - RIGHT);
        say(format_args!("<path d=\"M{LEFT} {at:.1}H{end}\" stroke=\"#ddd\"/>"));
        say(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n",
            LEFT - 6.0,
            at + 4.0
        ));
    }
    for (nines, label) in
        [(0.0, "0 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %")]
    {
        let (at, end) = (x(nines), PANEL - BOTTOM);
        say(format_args!("<path d=\"M{at:.1} {TOP}V{end}\" stroke=\"#ddd\"/>"));
        say(format_args!(
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>\n",
            PANEL - BOTTOM + 16.0
        ));
    }
    for (number, (operation, histogram)) in (0_u32..).zip(&workload.latencies) {
        let place = |step: u32| f64::from(step) / f64::from(STEPS) * NINES;
        // Beyond so many nines there is less than one operation.
        let most = (histogram.len() as f64).log10().min(NINES);
        let points = (0..=STEPS).map(place).filter(|nines| *nines <= most).map(|nines| {
            let us = histogram.value_at_quantile(1.0 - 10_f64.powf(-nines));
            format!("{:.1},{:.1}", x(nines), y(us as f64))
        });
        let (points, colour) = (points.collect::<Vec<_>>().join(" "), colour(*operation));
        say(format_args!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        ));
        say(format_args!(
            "<text x=\"{:.1}\" y=\"18\" text-anchor=\"end\" fill=\"{colour}\">{}</text>\n",
            WIDTH - RIGHT - 130.0 * f64::from(number),
            operation.name()
        ));
    }
    say(format_args!("</g>\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slower_is_higher_and_rarer_is_further_right() {
        assert!(y(1e3) > y(1e4) && y(1e4) > y(1e5));
        assert!(
            (y(1e3) - y(1e4) - (y(1e5) - y(1e6))).abs() < 1e-9,
            "decades are equally far apart"
        );
        assert!(
            (y(0.0) - y(100.0)).abs() < 1e-9 && (y(1e12) - TOP).abs() < 1e-9,
            "nothing leaves the panel"
        );
        assert!(x(2.0) > x(1.0));
        assert!((x(NINES) - (WIDTH - RIGHT)).abs() < 1e-9);
    }
}
