//! The plugins that every node has. They are committed as components, so that building a node needs no compiler for
//! WebAssembly; `plugins/build.sh` makes them anew.

/// Name and component of each built-in plugin.
pub const BUILT_IN: [(&str, &[u8]); 2] = [
    ("last-write-wins", include_bytes!("../../../plugins/prebuilt/last-write-wins.wasm")),
    ("set-union", include_bytes!("../../../plugins/prebuilt/set-union.wasm")),
];
