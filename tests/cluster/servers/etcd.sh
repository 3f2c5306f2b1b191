#!/bin/sh
# A real etcd on this machine: Debian's.
#
#   etcd.sh install                       get it from Debian's packages into .tools/etcd (once; no root needed)
#   etcd.sh installed                     whether that is done, or etcd is on the path anyway
#   etcd.sh run DIRECTORY PORT [OPTION]   one that keeps its data in DIRECTORY, at 127.0.0.1:PORT (and PORT + 1 for its peers)
. "$(dirname "$0")/../../servers.sh"
release=1
export PATH="$tools/root/usr/bin:$PATH"

is_installed() { command -v etcd >/dev/null && command -v etcdctl >/dev/null; }

install() {
    is_there && return 0
    is_installed && return 0
    command -v apt-get >/dev/null || { echo "etcd is got with apt-get" >&2; exit 1; }
    rm -rf "$tools"
    unpack etcd-server etcd-client
    set_there
}

run() {
    directory=$1 port=$2
    shift 2
    exec etcd --name n --data-dir "$directory" --logger zap --log-level warn \
        --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
        --listen-peer-urls "http://127.0.0.1:$((port + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((port + 1))" \
        --initial-cluster "n=http://127.0.0.1:$((port + 1))" "$@"
}

act "$@"
