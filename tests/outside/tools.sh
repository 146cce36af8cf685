#!/usr/bin/env bash
# Installs what the client in `kinfold.py` stands on, pinned, into target/tools/outside: see docs/TESTING.md, "outside".
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$here/../../target/tools/outside

cmp -s "$here/requirements.txt" "$venv/installed.txt" && exit
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "Python's venv is missing, which only root can install: sudo apt-get install -y python3-venv" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
fi
python3 -m venv "$venv"
# Registries have bad moments.
for try in 1 2 3 4; do
    if "$venv/bin/pip" install --quiet --no-input --disable-pip-version-check --requirement "$here/requirements.txt"; then
        cp "$here/requirements.txt" "$venv/installed.txt"
        exit
    fi
    echo "pip failed, for the $try. time" >&2
    sleep $((try * 5))
done
exit 1
