#!/bin/sh
# OpenSSH's SFTP server on this machine: sshd, with the library paramiko.
#
#   sftp.sh install              get them from Debian and PyPI into .tools/sftp (once)
#   sftp.sh installed            whether that is done
#   sftp.sh run DIRECTORY PORT   one at 127.0.0.1:PORT, for who runs it; the key is DIRECTORY/key
#
# Root needs a user sshd, which Debian's package makes: it is added to a private view of /etc/passwd (unshare -m).
. "$(dirname "$0")/../../servers.sh"
release=1

is_installed() { is_there; }

install() {
    is_installed && return 0
    rm -rf "$tools"
    unpack openssh-server openssh-sftp-server openssh-client libwrap0
    "$python" -m pip install -q --disable-pip-version-check --target "$tools/lib" 'paramiko>=5'
    set_there
}

run() {
    place=$1
    libraries=$(echo "$tools"/root/usr/lib/*-linux-gnu)
    export LD_LIBRARY_PATH="$libraries"
    for name in host key; do "$tools/root/usr/bin/ssh-keygen" -q -t ed25519 -N '' -f "$place/$name"; done
    cp "$place/key.pub" "$place/authorized"
    cat >"$place/config" <<END
Port $2
ListenAddress 127.0.0.1
HostKey $place/host
AuthorizedKeysFile $place/authorized
PasswordAuthentication no
PermitRootLogin yes
StrictModes no
PidFile none
UsePAM no
MaxStartups 100
Subsystem sftp $tools/root/usr/lib/openssh/sftp-server
END
    if [ "$(id -u)" = 0 ] && ! grep -q '^sshd:' /etc/passwd; then
        grep -v '^sshd:' /etc/passwd >"$place/passwd"
        echo 'sshd:x:74:74::/run/sshd:/usr/sbin/nologin' >>"$place/passwd"
        mkdir -p /run/sshd
        exec unshare -m sh -c 'mount --bind "$1/passwd" /etc/passwd && exec "$2" -D -e -f "$1/config"' - "$place" "$tools/root/usr/sbin/sshd"
    fi
    exec "$tools/root/usr/sbin/sshd" -D -e -f "$place/config"
}

act "$@"
