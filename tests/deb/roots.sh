#!/bin/bash
# Clean Debian 12 systems for the tests of the package: with systemd, and with sysvinit.
#
#   roots.sh KIND DIRECTORY     unpack one of KIND (systemd or sysvinit) in DIRECTORY; it is made first, once, in .tools/deb
#
# Needs root and mmdebstrap. The systems have what the package depends on, and curl.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

kind=$1 to=$2
top=$(cd "$(dirname "$0")/../.." && pwd)
archive=${ALLUXIO_S3_TOOLS:-$top/.tools}/deb/$kind.tar
case $kind in
systemd) init=systemd,systemd-sysv,dbus ;;
sysvinit) init=sysvinit-core,sysv-rc,initscripts ;;
*) exit 2 ;;
esac

if [ ! -e "$archive" ]; then
    mkdir -p "$(dirname "$archive")"
    mmdebstrap --quiet --variant=minbase --include="$init,python3.11,adduser,ca-certificates,curl,iproute2,logrotate,procps" bookworm "$archive.new.tar"
    mv "$archive.new.tar" "$archive"
fi
mkdir -p "$to"
tar -xf "$archive" -C "$to" --exclude='./dev/*'
