#!/bin/sh
# nginx and HAProxy from Debian, for the tests of their configurations in deploy/: unpacked into .tools/balancers, not installed.
#
#   balancers.sh install      get them (once)
#   balancers.sh installed    whether that is done
#   balancers.sh nginx ...    run nginx
#   balancers.sh haproxy ...  run HAProxy
#   balancers.sh modules      where the modules of nginx are
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tools=${ALLUXIO_S3_TOOLS:-$(cd "$here/../.." && pwd)/.tools}/balancers
packages="haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 nginx libnginx-mod-stream libpcre2-8-0 libpcre3"
release=1

is_installed() { [ "$(cat "$tools/.installed" 2>/dev/null)" = "$release" ]; }

install() {
    is_installed && return 0
    command -v apt-get >/dev/null || { echo "nginx and HAProxy come from Debian here, by apt-get" >&2; exit 1; }
    rm -rf "$tools"
    mkdir -p "$tools/packages"
    # shellcheck disable=SC2086  # one word for each package
    (cd "$tools/packages" && { apt-get download -qq $packages 2>/dev/null || { apt-get update -qq && apt-get download -qq $packages; }; })
    for package in "$tools"/packages/*.deb; do dpkg -x "$package" "$tools"; done
    rm -r "$tools/packages"
    echo "$release" >"$tools/.installed"
}

run() {
    is_installed || { echo "$1 is not installed: $0 install" >&2; exit 1; }
    for libraries in "$tools"/usr/lib/*-linux-gnu; do LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; done
    export LD_LIBRARY_PATH
    program=$1
    shift
    exec "$tools/usr/sbin/$program" "$@"
}

case "${1-}" in
    install) install ;;
    installed) is_installed ;;
    modules) echo "$tools/usr/lib/nginx/modules" ;;
    nginx | haproxy) run "$@" ;;
    *)
        sed -n '2,9s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
esac
