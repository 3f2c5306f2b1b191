#!/bin/sh
# A real etcd on this machine: Debian's.
#
#   etcd.sh install                       get it from Debian's packages into .tools/etcd (once; no root needed)
#   etcd.sh installed                     whether that is done, or etcd is on the path anyway
#   etcd.sh run DIRECTORY PORT [OPTION]   one that keeps its data in DIRECTORY, at 127.0.0.1:PORT (and PORT + 1 for its peers)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
tools=${ALLUXIO_S3_TOOLS:-$top/.tools}/etcd
release=1
export PATH="$tools/root/usr/bin:$PATH"

is_installed() { command -v etcd >/dev/null && command -v etcdctl >/dev/null; }

install() {
    [ "$(cat "$tools/.installed" 2>/dev/null)" = "$release" ] && return 0
    is_installed && return 0
    command -v apt-get >/dev/null || { echo "etcd is got with apt-get" >&2; exit 1; }
    rm -rf "$tools"
    mkdir -p "$tools/root"
    (cd "$tools" && apt-get download -q etcd-server etcd-client)
    for package in "$tools"/*.deb; do dpkg -x "$package" "$tools/root"; done
    rm "$tools"/*.deb
    echo "$release" >"$tools/.installed"
}

run() {
    is_installed || { echo "etcd is not installed: $0 install" >&2; exit 1; }
    directory=$1 port=$2
    shift 2
    exec etcd --name n --data-dir "$directory" --logger zap --log-level warn \
        --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
        --listen-peer-urls "http://127.0.0.1:$((port + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((port + 1))" \
        --initial-cluster "n=http://127.0.0.1:$((port + 1))" "$@"
}

case "${1-}" in
    install) install ;;
    installed) is_installed ;;
    run) shift; run "$@" ;;
    *)
        sed -n '2,6s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
esac
