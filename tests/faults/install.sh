#!/usr/bin/env bash
# What the fault tests need besides Python: strace, the tools of ext4 and XFS, libfaketime. For Debian, as root.
set -euo pipefail

have() { command -v strace mkfs.ext4 mkfs.xfs losetup faketime >/dev/null; }

have && exit
apt-get install -y -q strace e2fsprogs xfsprogs mount faketime libfaketime >/dev/null
have
