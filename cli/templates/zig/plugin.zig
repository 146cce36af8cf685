//! Keeps the longest value; of equally long ones the greatest.
//!
//! `kinfold plugin build` makes the component, `kinfold plugin check` tries the laws on it. `kinfold.zig` is the contract.

const kinfold = @import("kinfold.zig");

pub fn merge(context: kinfold.Context, siblings: []const kinfold.Sibling) !kinfold.Answer {
    _ = context;
    // They come sorted by their bytes, so of equally long ones the last is the greatest.
    var longest: []const u8 = "";
    for (siblings) |sibling| {
        const value = sibling.value orelse continue;
        if (value.len >= longest.len) longest = value;
    }
    return .{ .value = longest };
}
