#!/bin/sh
# A real Ceph on this machine: a monitor, a manager, one OSD on a sparse file, and the RADOS gateway, whose S3 checks signatures.
#
#   ceph.sh install                            make the chroot .tools/ceph/root from Debian's packages (600 MB, once)
#   ceph.sh installed                          whether that is done
#   ceph.sh run DIRECTORY PORT ACCESS SECRET   a new, empty Ceph in DIRECTORY; S3 at 127.0.0.1:PORT, the rest from PORT + 1 on.
#                                              It ends, with all of its processes, when this one does.
#
# Needs root (for chroot and mounts, in a namespace of its own), mmdebstrap and util-linux.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
tools=${ALLUXIO_S3_TOOLS:-$top/.tools}/ceph
packages=ceph-mon,ceph-osd,radosgw,ceph-mgr,ceph-common,ceph-base

is_installed() { [ -x "$tools/root/usr/bin/radosgw" ] && [ "$(id -u)" = 0 ] && command -v unshare >/dev/null; }

install() {
    is_installed && return 0
    [ "$(id -u)" = 0 ] || { echo "Ceph needs root" >&2; exit 1; }
    command -v mmdebstrap >/dev/null || { echo "Ceph needs mmdebstrap" >&2; exit 1; }
    rm -rf "$tools/root"
    mkdir -p "$tools"
    mmdebstrap --variant=apt --include=$packages --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        bookworm "$tools/root"
}

# Inside: the directory is /data, all of it is root's.
inside() {
    port=$1 access=$2 secret=$3
    export CEPH_CONF=/data/ceph.conf
    mkdir -p /data/run /data/log /data/mon /data/mgr /data/osd
    fsid=$(cat /proc/sys/kernel/random/uuid)
    osd=$(cat /proc/sys/kernel/random/uuid)
    cat >/data/ceph.conf <<END
[global]
fsid = $fsid
mon host = v1:127.0.0.1:$((port + 1))
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr2 = false
ms bind port min = $((port + 2))
ms bind port max = $((port + 40))
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
osd crush chooseleaf type = 0
osd crush update on start = false
osd class update on start = false
osd objectstore = bluestore
osd memory target = 939524096
bluestore block size = 8589934592
mon data = /data/mon
mgr data = /data/mgr
osd data = /data/osd
run dir = /data/run
log file = /data/log/\$name.log
pid file = /data/run/\$name.pid
admin socket = /data/run/\$name.asok
rgw frontends = beast endpoint=127.0.0.1:$port
rgw enable usage log = false
rgw multipart min part size = 0
END
    monmaptool --create --addv a "v1:127.0.0.1:$((port + 1))" --fsid "$fsid" /data/monmap >/dev/null
    ceph-mon --mkfs -i a --monmap /data/monmap
    ceph-mon -i a
    ceph-mgr -i a
    # When it starts, an OSD can be too quick for its monitor with this, and gives up.
    ceph osd new "$osd" >/dev/null
    ceph osd crush add osd.0 1 root=default host=here 2>/dev/null
    ceph-osd -i 0 --mkfs --osd-uuid "$osd" >/dev/null
    ceph-osd -i 0
    radosgw-admin user create --uid=tests --display-name=tests --access-key="$access" --secret="$secret" >/dev/null
    exec radosgw -n client.rgw -f
}

run() {
    directory=$1
    shift
    is_installed || { echo "Ceph is not installed: $0 install" >&2; exit 1; }
    mkdir -p "$directory"
    exec unshare --mount --pid --fork --kill-child sh -eu -c '
        root=$1 directory=$2 self=$3
        shift 3
        mkdir -p "$root/data"
        mount --bind "$directory" "$root/data"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        cp "$self" "$directory/ceph.sh"
        exec chroot "$root" /bin/sh /data/ceph.sh inside "$@"
    ' run "$tools/root" "$directory" "$here/ceph.sh" "$@"
}

case ${1:-} in
install) install ;;
installed) is_installed ;;
run) shift; run "$@" ;;
inside) shift; inside "$@" ;;
*) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
