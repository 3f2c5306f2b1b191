#!/bin/sh
# Install what `make bench` runs beside the daemon: nginx, wrk and ip from Debian, and rclone into .tools at the top of the tree.
#
# May be run again: what is there stays. As root gets missing Debian packages itself; else says which are missing. Debian
# starts the nginx that it installs: `systemctl disable --now nginx` where that is not wanted.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$here/../..
requirements=$top/tests/clients/requirements/rclone.txt
tools=${ALLUXIO_S3_TOOLS:-$top/.tools}
rclone=$tools/rclone

PATH=$PATH:/usr/sbin:/sbin
wanted=""
command -v nginx >/dev/null || wanted="$wanted nginx-light"
command -v wrk >/dev/null || wanted="$wanted wrk"
command -v ip >/dev/null || wanted="$wanted iproute2"
if [ -n "$wanted" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "these must be installed first:$wanted" >&2
        exit 1
    fi
    apt-get update -q
    # shellcheck disable=SC2086  # one word for each package
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $wanted
fi

if ! cmp -s "$requirements" "$rclone/.installed-from"; then
    mkdir -p "$tools"
    rm -rf "$rclone"
    "${PYTHON:-python3}" -m venv "$rclone"
    "$rclone/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$rclone/.installed-from"
fi
