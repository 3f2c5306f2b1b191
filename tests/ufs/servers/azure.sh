#!/bin/sh
# A server that speaks the API of Azure's Blob Storage on this machine: Azurite, with the library adlfs.
#
#   azure.sh install              get them from npm and PyPI into .tools/azure (once)
#   azure.sh installed            whether that is done
#   azure.sh run DIRECTORY PORT   a new and empty one, at 127.0.0.1:PORT, in DIRECTORY
#
# Needs Node.js 20 or newer, and npm.
. "$(dirname "$0")/../../servers.sh"
release=1

is_installed() { is_there && command -v node >/dev/null; }

install() {
    is_installed && return 0
    command -v npm >/dev/null || { echo "Azurite needs npm" >&2; exit 1; }
    rm -rf "$tools"
    mkdir -p "$tools"
    (cd "$tools" && npm install --silent --no-audit --no-fund --prefix "$tools" azurite@3.35)
    "$python" -m pip install -q --disable-pip-version-check --target "$tools/lib" 'adlfs>=2026.8'
    set_there
}

run() {
    exec node "$tools/node_modules/azurite/dist/src/blob/main.js" --silent --skipApiVersionCheck --disableTelemetry \
        --blobHost 127.0.0.1 --blobPort "$2" --location "$1"
}

act "$@"
