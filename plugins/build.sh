#!/usr/bin/env bash
# Builds the Rust plugins of this folder into components.
#
#   plugins/build.sh            builds them into plugins/prebuilt, which is committed
#   plugins/build.sh --check    builds them into target/plugins/rebuilt, runs the sandbox's tests against those, and compares
#                               their bytes with the committed ones if the compiler is the recorded one
#
# The compiler is the default toolchain's, if it has the target (`rustup target add wasm32-unknown-unknown`), and otherwise
# Debian's rustc-web, which builds the standard library from source. `KINFOLD_PLUGIN_COMPILER=rustup` or `=debian` decides
# by itself. The same compiler makes the same bytes wherever the checkout is.
set -euo pipefail

plugins=(automerge-document cart counter json last-write-wins leaderboard max or-set planted set-union tripwire)
target=wasm32-unknown-unknown
packages="rustc-web cargo-web rust-web-src lld"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
work=$root/target/plugins

case "${1-}" in
"") out=plugins/prebuilt ;;
--check) out=$work/rebuilt ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac

has_rustup_target() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]
}

choose_compiler() {
    if [ -n "${KINFOLD_PLUGIN_COMPILER-}" ]; then
        echo "$KINFOLD_PLUGIN_COMPILER"
    elif has_rustup_target; then
        echo rustup
    else
        echo debian
    fi
}

install_debian_compiler() {
    # shellcheck disable=SC2086 # a list of words
    if dpkg -s $packages >/dev/null 2>&1; then
        return
    fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing $packages"
        # shellcheck disable=SC2086
        apt-get update -qq
        # shellcheck disable=SC2086
        apt-get install -y $packages
    else
        echo "no compiler for $target. One of these gives you one:" >&2
        echo "    rustup target add $target" >&2
        echo "    sudo apt-get install -y $packages" >&2
        exit 1
    fi
}

compiler=$(choose_compiler)
case $compiler in
rustup)
    cargo=cargo
    rustc=rustc
    std=()
    ;;
debian)
    install_debian_compiler
    cargo=/usr/bin/cargo
    rustc=/usr/bin/rustc
    # The standard library comes as source only, and building it is an unstable feature.
    std=(-Z "build-std=std,panic_abort")
    export RUSTC_BOOTSTRAP=1
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld
    ;;
*)
    echo "KINFOLD_PLUGIN_COMPILER is rustup or debian, not $compiler" >&2
    exit 2
    ;;
esac
version="$("$rustc" --version) from $compiler"
echo "compiler: $version"

# Chance comes from the plugin, which has none to give: its crates may not ask a system for it. The memory is laid out large enough that an ordinary merge never grows it. Paths of this machine stay out of the bytes.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="\
--cfg getrandom_backend=\"custom\" \
-C link-arg=-zstack-size=65536 \
-C link-arg=--initial-memory=1048576 \
--remap-path-prefix=$root=/kinfold \
--remap-path-prefix=$cargo_home=/cargo \
--remap-path-prefix=$("$rustc" --print sysroot)/lib/rustlib/src/rust=/rust"
export CARGO_PROFILE_RELEASE_OPT_LEVEL=3
export CARGO_PROFILE_RELEASE_LTO=fat
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
export CARGO_PROFILE_RELEASE_PANIC=abort
export CARGO_PROFILE_RELEASE_DEBUG=false
export CARGO_PROFILE_RELEASE_STRIP=symbols
export CARGO_INCREMENTAL=0
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_TARGET_DIR CARGO_BUILD_TARGET RUSTC_WRAPPER

# All in one target folder: each would build the standard library otherwise.
RUSTC=$rustc "$cargo" build --locked --release --target "$target" --target-dir "$work" \
    ${std[@]+"${std[@]}"} "${plugins[@]/#/--package=}"

pairs=()
for plugin in "${plugins[@]}"; do
    pairs+=("plugins/$plugin=$work/$target/release/${plugin//-/_}.wasm")
done
# What runs on this machine is built by the default toolchain, without the leave to use unstable features.
env -u RUSTC_BOOTSTRAP cargo run --locked --quiet --package kinfold-componentize -- \
    "$out" "$version" "${pairs[@]}"

if [ "$out" = plugins/prebuilt ]; then
    exit 0
fi

echo "testing the rebuilt components"
# As a part of the workspace where that can be said: alone it would have its dependencies compiled anew.
if cargo nextest --version >/dev/null 2>&1; then
    sandbox_tests=(cargo nextest run --locked --workspace -E "package(kinfold-sandbox)")
else
    sandbox_tests=(cargo test --locked --package kinfold-sandbox)
fi
env -u RUSTC_BOOTSTRAP KINFOLD_PREBUILT_PLUGINS="$out" "${sandbox_tests[@]}"

recorded=$(sed -n 's/^compiler = "\(.*\)"$/\1/p' plugins/prebuilt/MANIFEST.toml)
if [ "$version" != "$recorded" ]; then
    echo "bytes NOT compared: the committed components were made by"
    echo "    $recorded"
    echo "and these by"
    echo "    $version"
    exit 0
fi
different=0
for file in "$out"/*; do
    if ! cmp "$file" "plugins/prebuilt/$(basename "$file")"; then
        different=1
    fi
done
if [ $different = 1 ]; then
    echo "the committed components are not what their source makes: run plugins/build.sh and commit plugins/prebuilt" >&2
    exit 1
fi
echo "bytes compared: the committed components are what their source makes"
