#!/bin/sh
# Install what the tests of the dashboard in a browser need: Chromium (Debian's, as root), and axe-core, into .tools/axe.
# May be run again: what is there stays. What can't be had is named at the end, and its tests are skipped.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tools=${ALLUXIO_S3_TOOLS:-$here/../../.tools}
axe=4.14.1
failed=""

if ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium fonts-liberation; } >&2 || failed="$failed chromium"
    else
        failed="$failed chromium"
    fi
fi

if [ ! -f "$tools/axe/$axe/axe.min.js" ]; then
    mkdir -p "$tools/axe/$axe"
    if command -v npm >/dev/null && (cd "$tools/axe/$axe" && npm pack --silent "axe-core@$axe" >/dev/null && tar -xzf "axe-core-$axe.tgz" --strip-components=1 package/axe.min.js package/LICENSE); then
        rm -f "$tools/axe/$axe/"*.tgz
    else
        failed="$failed axe-core"
    fi
fi

if [ -n "$failed" ]; then
    echo "could not be installed:$failed" >&2
    exit 1
fi
