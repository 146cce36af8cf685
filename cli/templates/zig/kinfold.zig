//! Kinfold's contract with plugins, for Zig: the types that `merge` in plugin.zig gets and gives, and the functions that the
//! component exports, after the canonical ABI of the component model.
//!
//! A fresh instance runs every merge, so nothing need ever be freed.

const std = @import("std");
const plugin = @import("plugin.zig");

/// One of the versions to be merged.
pub const Sibling = struct {
    /// The bytes; null: a delete, which only a plugin with `tombstones = "pass"` is shown.
    value: ?[]const u8,
    /// When it was written: microseconds since 1970, below 2^53.
    time: u64,
};

/// What is being merged: equal on every node that merges the same siblings.
pub const Context = struct {
    bucket: []const u8,
    key: []const u8,
    /// What the operator set on the bucket for its plugin.
    config: []const u8,
};

/// What a merge comes to. A Zig error that `merge` returns becomes `internal` with its name, a panic with its message.
pub const Answer = union(enum) {
    /// The merged value. Its bytes may be those of a sibling.
    value: []const u8,
    /// The siblings merge to a delete.
    delete,
    /// The sibling at this position is not a value of the kind that this plugin merges, and why.
    invalid_sibling: struct { position: usize, reason: []const u8 },
    /// The siblings are fine, but a person or an application has to choose, and why.
    keep_siblings: []const u8,
    /// A fault of the plugin itself, or of its configuration.
    internal: []const u8,
};

pub const Level = enum(u32) { debug, info, warn, @"error" };

/// Says something to the operator.
pub fn log(level: Level, message: []const u8) void {
    log_write(@intFromEnum(level), message.ptr, message.len);
}

extern "kinfold:merge/log@0.1.0" fn write(level: u32, message: [*]const u8, len: usize) void;
const log_write = write;

/// Memory for the rest of the merge: it counts upwards from the end of the static data, and grows the memory only after
/// the pages that it began with.
pub const allocator: std.mem.Allocator = .{ .ptr = undefined, .vtable = &.{
    .alloc = Bump.alloc,
    .resize = Bump.resize,
    .remap = Bump.remap,
    .free = Bump.free,
} };

/// The last words of a panic become the reason of the failure.
pub const panic = std.debug.FullPanic(struct {
    fn call(message: []const u8, _: ?usize) noreturn {
        log(.@"error", message);
        @trap();
    }
}.call);

const Bump = struct {
    const page = 64 * 1024;
    var next: usize = 0;
    extern const __heap_base: u8;

    fn alloc(_: *anyopaque, len: usize, alignment: std.mem.Alignment, _: usize) ?[*]u8 {
        if (next == 0) next = @intFromPtr(&__heap_base);
        const start = alignment.forward(next);
        const end = std.math.add(usize, start, len) catch return null;
        const have = @wasmMemorySize(0) * page;
        if (end > have) {
            // Each growth costs the host a system call: at least a MiB at once.
            const pages = @max((end - have + page - 1) / page, 16);
            if (@wasmMemoryGrow(0, pages) < 0) return null;
        }
        next = end;
        return @ptrFromInt(start);
    }

    /// The newest block can grow and shrink where it is.
    fn resize(context: *anyopaque, memory: []u8, _: std.mem.Alignment, len: usize, address: usize) bool {
        const start = @intFromPtr(memory.ptr);
        if (start + memory.len != next) return len <= memory.len;
        next = start;
        if (alloc(context, len, .@"1", address) != null) return true;
        next = start + memory.len;
        return false;
    }

    fn remap(context: *anyopaque, memory: []u8, alignment: std.mem.Alignment, len: usize, address: usize) ?[*]u8 {
        return if (resize(context, memory, alignment, len, address)) memory.ptr else null;
    }

    fn free(_: *anyopaque, memory: []u8, _: std.mem.Alignment, _: usize) void {
        if (@intFromPtr(memory.ptr) + memory.len == next) next = @intFromPtr(memory.ptr);
    }
};

/// `sibling` as the host lowers it.
const LoweredSibling = extern struct { has_value: u8, bytes: [*]const u8, len: usize, time: u64 };

/// `result<option<list<u8>>, merge-error>` as the host lifts it: what each word says depends on those before it.
const LoweredAnswer = extern struct { is_error: u32, which: u32, words: [3]usize };

fn kinfoldMerge(
    bucket: [*]const u8,
    bucket_len: usize,
    key: [*]const u8,
    key_len: usize,
    config: [*]const u8,
    config_len: usize,
    first: [*]const LoweredSibling,
    count: usize,
) callconv(.c) *const LoweredAnswer {
    const State = struct {
        var answer: LoweredAnswer = undefined;
    };
    const siblings = allocator.alloc(Sibling, count) catch @panic("out of memory");
    for (siblings, first[0..count]) |*sibling, lowered| {
        const value = if (lowered.has_value != 0) lowered.bytes[0..lowered.len] else null;
        sibling.* = .{ .value = value, .time = lowered.time };
    }
    const context: Context = .{
        .bucket = bucket[0..bucket_len],
        .key = key[0..key_len],
        .config = config[0..config_len],
    };
    const answer: Answer = plugin.merge(context, siblings) catch |failed| .{ .internal = @errorName(failed) };
    State.answer = switch (answer) {
        .value => |value| .{ .is_error = 0, .which = 1, .words = .{ @intFromPtr(value.ptr), value.len, 0 } },
        .delete => .{ .is_error = 0, .which = 0, .words = .{ 0, 0, 0 } },
        .invalid_sibling => |invalid| .{ .is_error = 1, .which = 0, .words = .{
            invalid.position,
            @intFromPtr(invalid.reason.ptr),
            invalid.reason.len,
        } },
        .keep_siblings => |why| .{ .is_error = 1, .which = 1, .words = .{ @intFromPtr(why.ptr), why.len, 0 } },
        .internal => |why| .{ .is_error = 1, .which = 2, .words = .{ @intFromPtr(why.ptr), why.len, 0 } },
    };
    return &State.answer;
}

fn cabiRealloc(old: ?[*]u8, old_len: usize, alignment: usize, len: usize) callconv(.c) [*]u8 {
    const log2: std.mem.Alignment = .fromByteUnits(alignment);
    const block = Bump.alloc(undefined, len, log2, 0) orelse @panic("out of memory");
    if (old) |bytes| @memcpy(block[0..@min(old_len, len)], bytes[0..@min(old_len, len)]);
    return block;
}

comptime {
    @export(&kinfoldMerge, .{ .name = "kinfold:merge/resolver@0.1.0#merge" });
    @export(&cabiRealloc, .{ .name = "cabi_realloc" });
}
