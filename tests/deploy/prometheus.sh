#!/bin/sh
# promtool from Debian, for the tests of the alert rules in deploy/prometheus: unpacked into .tools/prometheus, not installed.
#
#   prometheus.sh install        get it (once)
#   prometheus.sh installed      whether that is done
#   prometheus.sh promtool ...   run it
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tools=${ALLUXIO_S3_TOOLS:-$(cd "$here/../.." && pwd)/.tools}/prometheus
release=1

is_installed() { [ "$(cat "$tools/.installed" 2>/dev/null)" = "$release" ]; }

install() {
    is_installed && return 0
    command -v apt-get >/dev/null || { echo "promtool comes from Debian here, by apt-get" >&2; exit 1; }
    rm -rf "$tools"
    mkdir -p "$tools/packages"
    (cd "$tools/packages" && { apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; })
    dpkg -x "$tools"/packages/prometheus_*.deb "$tools"
    rm -r "$tools/packages"
    # Of the server only this is needed.
    find "$tools/usr" -type f ! -name promtool -delete
    echo "$release" >"$tools/.installed"
}

case "${1-}" in
    install) install ;;
    installed) is_installed ;;
    promtool)
        shift
        is_installed || { echo "promtool is not installed: $0 install" >&2; exit 1; }
        exec "$tools/usr/bin/promtool" "$@"
        ;;
    *) sed -n '2,6p' "$0" >&2; exit 2 ;;
esac
