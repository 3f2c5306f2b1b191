#!/usr/bin/env bash
# Makes the virtual environment $1 with Python 3.11 or later, unless there is one that works.
# Debian splits venv from Python: as root the missing package is installed, otherwise it is named.
set -euo pipefail

venv=$1
floor='import sys; sys.exit(sys.version_info < (3, 11))'
usable='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'

if "$venv/bin/python" -c "$floor" 2>/dev/null && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi

# The system's own comes first: a venv made from a pyenv shim belongs to one user.
find_python() {
    local candidate
    for candidate in /usr/bin/python3.11 python3.11 /usr/bin/python3 python3.13 python3.12 python3; do
        if command -v "$candidate" >/dev/null && "$candidate" -c "$usable" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

if ! python=$(find_python); then
    packages="python3 python3-venv"
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        echo "Installing $packages ..." >&2
        apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages ca-certificates >&2
    fi
    if ! python=$(find_python); then
        echo "Python 3.11 or later with its venv module is needed. On Debian: apt-get install $packages" >&2
        exit 1
    fi
fi

echo "Making $venv with $($python -c 'import sys; print(sys.executable, sys.version.split()[0])')" >&2
rm -rf "$venv"
"$python" -m venv "$venv"
