//! Figures of the plugins.

use kinfold_protocol::message::plugin::Histogram;
use kinfold_sandbox::{MergerStats, PluginStats};

use super::sheet::{Bins, Labels, Sheet, label};

/// Bits of the largest time that has a bound of its own, in microseconds: 8 s, more than all fuel takes.
const TIME_BITS: usize = 23;
/// The same of fuel: what the most fuel that a merge can get has.
const FUEL_BITS: usize = 30;

pub(super) fn add(sheet: &mut Sheet, stats: &MergerStats) {
    let plugins =
        || stats.plugins.iter().map(|(name, stats)| (label("plugin", name.clone()), stats));
    let counts = |figure: fn(&PluginStats) -> u64| {
        plugins().map(move |(labels, stats)| (labels, figure(stats)))
    };
    sheet.counts("plugin_calls", "Merges that were asked of the plugin", counts(|p| p.calls));
    sheet.counts("plugin_merged", "Merges that gave a value or a delete", counts(|p| p.merged));
    let failed = stats.plugins.iter().flat_map(|(name, stats)| {
        stats.failed.iter().map(|(reason, count)| (labels(name, "reason", reason), *count))
    });
    let refused = [("overloaded", stats.overloaded), ("no-plugin", stats.no_plugin)];
    let refused = refused.map(|(reason, count)| (labels("", "reason", reason), count));
    let help =
        "Merges that gave no value, by reason; without a plugin's name, before it was called";
    sheet.counts("plugin_failures", help, failed.chain(refused));
    sheet.counts("plugin_inputs", "Siblings that went into merges", counts(|p| p.inputs));
    sheet.counts(
        "plugin_fuel",
        "Fuel used: about one a WebAssembly instruction",
        counts(|p| p.fuel),
    );
    sheet.counts("plugin_compared", "Merges run twice for comparison", counts(|p| p.compared));
    sheet.counts("plugin_mismatches", "Merges whose two runs differed", counts(|p| p.mismatches));
    let help = "How often the breaker opened after repeated failures";
    sheet.counts("plugin_breaker_opened", help, counts(|p| p.breaker_opened));
    let spreads = |figure: fn(&PluginStats) -> &Histogram, bits: usize, unit: f64| {
        plugins().map(move |(labels, p)| (labels, bins(figure(p), bits, unit)))
    };
    let help = "Time of a merge on its thread, without waiting for one";
    sheet.spreads("plugin_run_seconds", help, spreads(|p| &p.micros_each, TIME_BITS, 1e-6));
    sheet.spreads("plugin_run_fuel", "Fuel of a merge", spreads(|p| &p.fuel_each, FUEL_BITS, 1.0));
    let open = plugins().map(|(labels, p)| (labels, f64::from(u8::from(p.breaker_open))));
    sheet.levels("plugin_breaker_open", "Is the breaker refusing calls?", open);
}

fn labels(plugin: &str, key: &'static str, value: &str) -> Labels {
    vec![("plugin", plugin.to_owned()), (key, value.to_owned())]
}

/// A histogram by magnitude as bins with bounds: up to 2^i - 1 for each i of at most `bits`, in units of `unit`.
fn bins(histogram: &Histogram, bits: usize, unit: f64) -> Bins {
    let bound = |bits: usize| ((1u64 << bits) - 1) as f64 * unit;
    let count = |bits: usize| histogram.counts.get(bits).copied().unwrap_or(0);
    Bins {
        sum: histogram.sum as f64 * unit,
        count: histogram.count(),
        bins: (0..=bits).map(|bits| (bound(bits), count(bits))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_become_bounds_and_what_is_above_all_counts_too() {
        let mut histogram = Histogram::default();
        [0, 1, 3, 5, 9].into_iter().for_each(|number| histogram.note(number));
        let Bins { sum, count, bins } = bins(&histogram, 3, 2.0);
        assert_eq!((sum, count), (36.0, 5));
        assert_eq!(bins, [(0.0, 1), (2.0, 1), (6.0, 1), (14.0, 1)]);
    }
}
