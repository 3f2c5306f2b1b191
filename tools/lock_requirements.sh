#!/bin/bash
# Write debian/requirements*.txt: what setup.py asks for, in the versions that pip finds now, with the hashes of their files.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
/usr/bin/python3.11 -m venv "$work/venv"
wanted='import tomllib, setuptools; from distutils.core import run_setup; print(*run_setup("setup.py", stop_after="init").install_requires, sep="\n")'
build=$("$work/venv/bin/python" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")')
"$work/venv/bin/python" -c "$wanted" >"$work/wanted" 2>"$work/errors" || { cat "$work/errors" >&2; exit 1; }
mapfile -t requirements <"$work/wanted"
mapfile -t builders <<<"$build"
"$work/venv/bin/python" tools/lock_requirements.py "${requirements[@]}" >"$work/requirements.txt"
"$work/venv/bin/python" tools/lock_requirements.py "${builders[@]}" >"$work/requirements-build.txt"
mv "$work"/requirements*.txt debian/
