#!/bin/sh
# A real OpenSSH server on this machine, for the tests of under-stores on SFTP.
#
#   sftp.sh install              get Debian's openssh-server and the library paramiko into .tools/sftp (once)
#   sftp.sh installed            whether that is done
#   sftp.sh run DIRECTORY PORT   serve SFTP at 127.0.0.1:PORT to the user who runs it, whose key is DIRECTORY/key, made here
#
# Needs apt-get, dpkg-deb and OpenSSH's ssh-keygen; as root also util-linux.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
tools=${ALLUXIO_S3_TOOLS:-$top/.tools}/sftp
python=${PYTHON:-$top/.venv/bin/python}
release=2

is_installed() { [ "$(cat "$tools/.installed" 2>/dev/null)" = "$release" ] && command -v ssh-keygen >/dev/null; }

install() {
    is_installed && return 0
    for program in apt-get dpkg-deb ssh-keygen; do
        command -v $program >/dev/null || { echo "the SFTP server needs $program" >&2; exit 1; }
    done
    rm -rf "$tools"
    mkdir -p "$tools/down"
    (cd "$tools/down" && apt-get download -q openssh-server openssh-sftp-server libwrap0)
    for package in "$tools"/down/*.deb; do
        dpkg-deb -x "$package" "$tools/root"
    done
    rm -rf "$tools/down"
    "$python" -m pip install -q --disable-pip-version-check --target "$tools/lib" 'paramiko>=5'
    echo "$release" >"$tools/.installed"
}

run() {
    directory=$1 port=$2
    is_installed || { echo "the SFTP server is not installed: $0 install" >&2; exit 1; }
    mkdir -p "$directory"
    chmod 700 "$directory"
    ssh-keygen -q -t ed25519 -N '' -f "$directory/host"
    ssh-keygen -q -t ed25519 -N '' -f "$directory/key"
    cp "$directory/key.pub" "$directory/authorized"
    cat >"$directory/config" <<END
ListenAddress 127.0.0.1
Port $port
HostKey $directory/host
AuthorizedKeysFile $directory/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp $tools/root/usr/lib/openssh/sftp-server
END
    sshd="$tools/root/usr/sbin/sshd"
    LD_LIBRARY_PATH=$(dirname "$(find "$tools/root" -name libwrap.so.0)")
    export LD_LIBRARY_PATH
    [ "$(id -u)" = 0 ] || exec "$sshd" -D -e -f "$directory/config"
    # Root's gives up its rights to a user of its own, whom this machine need not have, in an empty directory of its own.
    cp /etc/passwd "$directory/passwd"
    grep -q '^sshd:' "$directory/passwd" || echo 'sshd:x:65534:65534::/run/sshd:/usr/sbin/nologin' >>"$directory/passwd"
    exec unshare --mount sh -euc '
        mount --bind "$1" /etc/passwd
        mount -t tmpfs -o mode=755 none /run
        mkdir /run/sshd
        exec "$2" -D -e -f "$3"
    ' run "$directory/passwd" "$sshd" "$directory/config"
}

case "${1-}" in
    install) install ;;
    installed) is_installed ;;
    run) shift; run "$@" ;;
    *)
        sed -n '2,9s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
esac
