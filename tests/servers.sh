# What scripts have in common that install a server into .tools and run it: each sources this, and ends with `act "$@"`.
#
# Such a script is named after its server. It has a `release`, to be raised when another is to be installed, and the functions
# is_installed, install and run DIRECTORY PORT; what it is for, and how it is called, is in the comment at its top.
# shellcheck shell=sh
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
tools=${ALLUXIO_S3_TOOLS:-$top/.tools}/$(basename "$0" .sh)
# shellcheck disable=SC2034  # of those that install with pip
python=${PYTHON:-$top/.venv/bin/python}

# Whether this release has been installed, to the end.
is_there() { [ "$(cat "$tools/.installed" 2>/dev/null)" = "$release" ]; }

# To be called at the end of an installation.
set_there() { echo "$release" >"$tools/.installed"; }

# The files of Debian's packages of these names go to $tools/root; no root needed.
unpack() {
    mkdir -p "$tools/debian" "$tools/root"
    (cd "$tools/debian" && apt-get download -q "$@" >/dev/null)
    for package in "$tools"/debian/*.deb; do dpkg -x "$package" "$tools/root"; done
    rm -r "$tools/debian"
}

act() {
    case "${1-}" in
        install) install ;;
        installed) is_installed ;;
        run)
            is_installed || { echo "it is not installed: $0 install" >&2; exit 1; }
            shift
            run "$@"
            ;;
        *)
            sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
            exit 2
            ;;
    esac
}
