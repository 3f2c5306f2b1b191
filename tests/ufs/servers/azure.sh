#!/bin/sh
# A server that speaks the API of Azure's Blob Storage on this machine: Azurite, with the library adlfs.
#
#   azure.sh install              get them from npm and PyPI into .tools/azure (once)
#   azure.sh installed            whether that is done
#   azure.sh run DIRECTORY PORT   a new and empty one, at 127.0.0.1:PORT, in DIRECTORY
#
# Needs Node.js 20 or newer, and npm.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
tools=${ALLUXIO_S3_TOOLS:-$top/.tools}/azure
python=${PYTHON:-$top/.venv/bin/python}
release=1

is_installed() { [ "$(cat "$tools/.installed" 2>/dev/null)" = "$release" ] && command -v node >/dev/null; }

install() {
    is_installed && return 0
    command -v npm >/dev/null || { echo "Azurite needs npm" >&2; exit 1; }
    rm -rf "$tools"
    mkdir -p "$tools"
    (cd "$tools" && npm install --silent --no-audit --no-fund --prefix "$tools" azurite@3.35)
    "$python" -m pip install -q --disable-pip-version-check --target "$tools/lib" 'adlfs>=2026.8'
    echo "$release" >"$tools/.installed"
}

run() {
    is_installed || { echo "Azurite is not installed: $0 install" >&2; exit 1; }
    exec node "$tools/node_modules/azurite/dist/src/blob/main.js" --silent --skipApiVersionCheck --disableTelemetry \
        --blobHost 127.0.0.1 --blobPort "$2" --location "$1"
}

case "${1-}" in
    install) install ;;
    installed) is_installed ;;
    run) shift; run "$@" ;;
    *)
        sed -n '2,8s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
esac
