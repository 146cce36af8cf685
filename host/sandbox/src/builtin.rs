//! The plugins that every node has. They are committed as components, so that building a node needs no compiler for
//! WebAssembly; `plugins/build.sh` makes them anew.

/// Name and component of each built-in plugin.
pub const BUILT_IN: [(&str, &[u8]); 7] = [
    ("cart", include_bytes!("../../../plugins/prebuilt/cart.wasm")),
    ("counter", include_bytes!("../../../plugins/prebuilt/counter.wasm")),
    ("json", include_bytes!("../../../plugins/prebuilt/json.wasm")),
    ("last-write-wins", include_bytes!("../../../plugins/prebuilt/last-write-wins.wasm")),
    ("max", include_bytes!("../../../plugins/prebuilt/max.wasm")),
    ("or-set", include_bytes!("../../../plugins/prebuilt/or-set.wasm")),
    ("set-union", include_bytes!("../../../plugins/prebuilt/set-union.wasm")),
];
