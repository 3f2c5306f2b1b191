#!/bin/bash
# Build dist/alluxio-s3_*.deb with dpkg-buildpackage, from the last commit, in a directory of its own.
#
#   tools/build_deb.sh [DIRECTORY]     the package goes to DIRECTORY, dist if none is given
#
# The libraries are fetched into build/wheels, by their hashes; when they are there the network is not used. Needs dpkg-dev, debhelper,
# python3.11-venv, python3.11-dev and python3-pip.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

top=$(cd "$(dirname "$0")/.." && pwd)
to=${1:-$top/dist}
wheels=$top/build/wheels
work=$top/build/deb
cd "$top"

for package in debhelper python3.11-venv python3.11-dev python3-pip; do
    dpkg-query -W -f='${Status}' $package 2>/dev/null | grep -q 'ok installed' || missing="${missing-} $package"
done
[ -z "${missing-}" ] || { echo "Missing: apt-get install --no-install-recommends$missing" >&2; exit 1; }

mkdir -p "$wheels" "$to"
if ! cat debian/requirements.txt debian/requirements-build.txt | cmp -s - "$wheels/.have"; then
    rm -f "$wheels"/*.whl
    for list in debian/requirements.txt debian/requirements-build.txt; do
        /usr/bin/python3.11 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes --dest "$wheels" -r $list
    done
    cat debian/requirements.txt debian/requirements-build.txt >"$wheels/.have"
fi

rm -rf "$work"
mkdir -p "$work/alluxio-s3"
git archive HEAD -- alluxio_s3 twisted debian etc docs setup.py pyproject.toml README.md LICENSE | tar -x -C "$work/alluxio-s3"
(cd "$work/alluxio-s3" && WHEELS=$wheels dpkg-buildpackage --build=binary --no-sign >"$work/log" 2>&1) || {
    tail -40 "$work/log" >&2
    echo "The build failed: $work/log" >&2
    exit 1
}
mv "$work"/*.deb "$to"
rm -rf "$work/alluxio-s3"
ls -l "$to"/alluxio-s3_*.deb
