//! Figures at one moment, in families with a name each.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Names and values of labels.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// One label.
pub(crate) fn label(name: &'static str, value: impl Into<String>) -> Labels {
    vec![(name, value.into())]
}

/// Figures at one moment. Names are without the prefix `kinfold_` and without `_total`.
#[derive(Debug, Default)]
pub(crate) struct Sheet(Vec<Family>);

#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    figures: Figures,
}

#[derive(Debug)]
enum Figures {
    Counts(Vec<(Labels, u64)>),
    Sums(Vec<(Labels, f64)>),
    Levels(Vec<(Labels, f64)>),
    Spreads(Vec<(Labels, Bins)>),
}

/// Counts of numbers by their size.
#[derive(Debug)]
pub(crate) struct Bins {
    pub(crate) sum: f64,
    pub(crate) count: u64,
    /// Bounds, with how many numbers are up to each and above the one before.
    pub(crate) bins: Vec<(f64, u64)>,
}

impl Sheet {
    /// Counts that only rise.
    pub(crate) fn counts(
        &mut self,
        name: &'static str,
        help: &'static str,
        counts: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        self.add(name, help, Figures::Counts(counts.into_iter().collect()));
    }

    /// One count that only rises.
    pub(crate) fn count(&mut self, name: &'static str, help: &'static str, count: u64) {
        self.counts(name, help, [(Vec::new(), count)]);
    }

    /// Sums of seconds that only rise.
    pub(crate) fn sums(
        &mut self,
        name: &'static str,
        help: &'static str,
        sums: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        self.add(name, help, Figures::Sums(sums.into_iter().collect()));
    }

    /// What rises and falls.
    pub(crate) fn levels(
        &mut self,
        name: &'static str,
        help: &'static str,
        levels: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        self.add(name, help, Figures::Levels(levels.into_iter().collect()));
    }

    /// One thing that rises and falls.
    pub(crate) fn level(&mut self, name: &'static str, help: &'static str, level: f64) {
        self.levels(name, help, [(Vec::new(), level)]);
    }

    /// Counts of numbers by their size.
    pub(crate) fn spread(
        &mut self,
        name: &'static str,
        help: &'static str,
        spread: &kinfold_protocol::spread::Spread,
    ) {
        let bins = spread.bins().map(|(bound, count)| (bound as f64, count)).collect();
        let (sum, count) = (spread.sum() as f64, spread.count());
        self.spreads(name, help, [(Vec::new(), Bins { sum, count, bins })]);
    }

    /// Several of these.
    pub(crate) fn spreads(
        &mut self,
        name: &'static str,
        help: &'static str,
        spreads: impl IntoIterator<Item = (Labels, Bins)>,
    ) {
        self.add(name, help, Figures::Spreads(spreads.into_iter().collect()));
    }

    fn add(&mut self, name: &'static str, help: &'static str, figures: Figures) {
        self.0.push(Family { name, help, figures });
    }
}

impl Collector for Sheet {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for Family { name, help, figures } in &self.0 {
            let kind = match figures {
                Figures::Counts(_) | Figures::Sums(_) => MetricType::Counter,
                Figures::Levels(_) => MetricType::Gauge,
                Figures::Spreads(_) => MetricType::Histogram,
            };
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            match figures {
                Figures::Counts(counts) => {
                    for (labels, count) in counts {
                        let mut one = family.encode_family(labels)?;
                        one.encode_counter::<NoLabelSet, u64, u64>(count, None)?;
                    }
                }
                Figures::Sums(sums) => {
                    for (labels, sum) in sums {
                        let mut one = family.encode_family(labels)?;
                        one.encode_counter::<NoLabelSet, f64, u64>(sum, None)?;
                    }
                }
                Figures::Levels(levels) => {
                    for (labels, level) in levels {
                        family.encode_family(labels)?.encode_gauge(level)?;
                    }
                }
                Figures::Spreads(spreads) => {
                    for (labels, Bins { sum, count, bins }) in spreads {
                        let mut one = family.encode_family(labels)?;
                        one.encode_histogram::<NoLabelSet>(*sum, *count, bins, None)?;
                    }
                }
            }
        }
        Ok(())
    }
}
