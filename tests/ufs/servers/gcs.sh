#!/bin/sh
# A server that speaks the API of Google Cloud Storage on this machine: gcp-storage-emulator, with the library gcsfs.
#
#   gcs.sh install              get them from PyPI into .tools/gcs (once)
#   gcs.sh installed            whether that is done
#   gcs.sh run DIRECTORY PORT   a new and empty one, at 127.0.0.1:PORT, in memory
. "$(dirname "$0")/../../servers.sh"
release=1

is_installed() { is_there; }

install() {
    is_installed && return 0
    rm -rf "$tools"
    "$python" -m pip install -q --disable-pip-version-check --target "$tools/lib" 'gcsfs>=2026.9' 'gcp-storage-emulator>=2026.7'
    set_there
}

run() {
    cd "$1"
    PYTHONPATH=$tools/lib exec "$python" -m gcp_storage_emulator start --host=127.0.0.1 --port="$2" --in-memory
}

act "$@"
