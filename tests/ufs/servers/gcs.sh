#!/bin/sh
# A server that speaks the API of Google Cloud Storage on this machine: gcp-storage-emulator, with the library gcsfs.
#
#   gcs.sh install              get them from PyPI into .tools/gcs (once)
#   gcs.sh installed            whether that is done
#   gcs.sh run DIRECTORY PORT   a new and empty one, at 127.0.0.1:PORT, in memory
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
tools=${ALLUXIO_S3_TOOLS:-$top/.tools}/gcs
python=${PYTHON:-$top/.venv/bin/python}
release=1

is_installed() { [ "$(cat "$tools/.installed" 2>/dev/null)" = "$release" ]; }

install() {
    is_installed && return 0
    rm -rf "$tools"
    "$python" -m pip install -q --disable-pip-version-check --target "$tools/lib" 'gcsfs>=2026.9' 'gcp-storage-emulator>=2026.7'
    echo "$release" >"$tools/.installed"
}

run() {
    is_installed || { echo "the emulator is not installed: $0 install" >&2; exit 1; }
    cd "$1"
    PYTHONPATH=$tools/lib exec "$python" -m gcp_storage_emulator start --host=127.0.0.1 --port="$2" --in-memory
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
