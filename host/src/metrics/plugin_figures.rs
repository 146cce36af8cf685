//! Figures of the plugins.

use kinfold_sandbox::{MergerStats, PluginStats};

use super::sheet::{Labels, Sheet, label};

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
    let open = plugins().map(|(labels, p)| (labels, f64::from(u8::from(p.breaker_open))));
    sheet.levels("plugin_breaker_open", "Is the breaker refusing calls?", open);
}

fn labels(plugin: &str, key: &'static str, value: &str) -> Labels {
    vec![("plugin", plugin.to_owned()), (key, value.to_owned())]
}
