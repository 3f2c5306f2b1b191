# ruff: noqa: T201
"""Tries dist/alluxio-s3_*.deb in clean Debian systems: installed, looked after, upgraded, removed, purged. Prints what holds.

    python3 -m tests.deb.run [systemd] [sysvinit]     both, if none is named

Needs root, mmdebstrap (for the first time: see roots.sh), systemd-nspawn and dpkg-deb.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.deb.machine import Machine, wait_until

HERE = Path(__file__).resolve().parent
DIST = HERE.parent.parent / "dist"
CONFIG = "/etc/alluxio/alluxio-site.properties"
PLAIN = "http://127.0.0.1:29998"
SECURE = "https://127.0.0.1:29996"
MOST_EXPOSED = 1.5
RESTARTS = 5
# What installing and removing any package leaves behind.
DEBIANS_OWN = re.compile(
    r"/(var/lib/(dpkg|apt|systemd|logrotate|misc|private)|var/cache/(apt|debconf|ldconfig|man|private)|var/log/|root/|etc/\w+-$|dev|sys"
    r"|etc/\.pwd\.lock)"
)
NEVER_LEFT = re.compile("alluxio")
CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost -keyout /etc/alluxio/key.pem -out /etc/alluxio/cert.pem"
    " 2>/dev/null && chown alluxio /etc/alluxio/key.pem"
)
HTTPS = """\
alluxio.network.tls.enabled=true
alluxio.network.tls.server.cert=/etc/alluxio/cert.pem
alluxio.network.tls.server.key=/etc/alluxio/key.pem
"""
FINGERPRINT = "openssl s_client -connect 127.0.0.1:29996 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint"


def holds(what: str, true: object = True) -> None:
    """Say that it does, or end with an AssertionError."""
    assert true, what
    print(f"  ok  {what}", flush=True)


def later(package: Path, directory: Path) -> Path:
    """The package as one of a later version, which comes with another conffile."""
    tree = directory / "tree"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    config = tree / CONFIG.lstrip("/")
    config.write_text(config.read_text() + "\n# A line of the later version.\n")
    sums = tree / "DEBIAN" / "md5sums"
    sums.write_text("".join(line for line in sums.read_text().splitlines(keepends=True) if CONFIG.lstrip("/") not in line))
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: (.*)$", r"Version: \1+later", control.read_text(), flags=re.MULTILINE))
    made = directory / "later.deb"
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "-b", tree, made], check=True, stdout=subprocess.DEVNULL)
    return made


class Trial:
    """What is tried in one machine."""

    def __init__(self, machine: Machine, package: Path, newer: Path) -> None:
        self.machine = machine
        self.systemd = machine.kind == "systemd"
        shutil.copy(package, machine.root / "root" / "first.deb")
        shutil.copy(newer, machine.root / "root" / "later.deb")
        shutil.copy(HERE / "load.py", machine.root / "root" / "load.py")
        self.before = machine.files()

    def all(self) -> None:
        """Everything, in the order of a package's life."""
        self.installed()
        if self.systemd:
            self.sandboxed()
            self.killed()
        self.rotated()
        self.reloaded()
        self.looked_after()
        if self.systemd:
            self.restarted_behind_its_socket()
        self.upgraded()
        self.removed()
        self.purged()

    def serves(self) -> bool:
        return self.machine.succeeds(f"curl -sf -o /dev/null {PLAIN}/")

    def service(self, word: str) -> None:
        self.machine.run(f"systemctl {word} alluxio-s3" if self.systemd else f"service alluxio-s3 {word}")

    def pid(self) -> str:
        return self.machine.run("pgrep -o -u alluxio -f twistd")

    def installed(self) -> None:
        start = time.monotonic()
        said = self.machine.run("apt-get install -y -q /root/first.deb")
        taken = time.monotonic() - start
        waited = wait_until(self.serves, "the daemon to serve after it was installed")
        holds(f"installed in {taken:.1f} s, serving {waited:.1f} s later")
        holds("it says where it serves, and to whom", "http://127.0.0.1:29998, to this machine only" in said)
        self.machine.run(f"curl -sf -X PUT {PLAIN}/bucket && head -c 1000000 /dev/urandom >/tmp/k && curl -sf -T /tmp/k {PLAIN}/bucket/k")
        self.machine.run(f"curl -sf {PLAIN}/bucket/k | cmp - /tmp/k && cmp /tmp/k /var/lib/alluxio-s3/data/bucket/k")
        holds("an object is put, got, and is a file")
        listening = self.machine.run("ss -ltnH | awk '{print $4}'").split()
        holds("it listens on loopback only", listening and all(one.startswith("127.0.0.1:") for one in listening))
        holds("alluxio-s3 mount list", "mounted" in self.machine.run("runuser -u alluxio -- alluxio-s3 mount list"))
        holds(
            "the service is known to run",
            self.machine.run("systemctl is-active alluxio-s3" if self.systemd else "service alluxio-s3 status"),
        )

    def sandboxed(self) -> None:
        found = re.search(r"exposure level.*: ([\d.]+)", self.machine.run("systemd-analyze security --no-pager alluxio-s3"))
        holds(f"systemd-analyze security: {found and found[1]}, at most {MOST_EXPOSED}", found and float(found[1]) <= MOST_EXPOSED)
        status = self.machine.run(f"cat /proc/{self.pid()}/status")
        holds("no capability, a filter of system calls", re.search(r"CapEff:\s0+\n", status) and re.search(r"Seccomp:\s2", status))
        holds("it has said that it serves", "StatusText=Serving" in self.machine.run("systemctl show -p StatusText alluxio-s3"))
        holds("the socket is not enabled", not self.machine.succeeds("systemctl is-enabled alluxio-s3.socket"))

    def killed(self) -> None:
        before = self.pid()
        self.machine.run(f"kill -9 {before}")
        waited = wait_until(lambda: self.serves() and self.pid() != before, "the daemon to be restarted after kill -9")
        holds(f"killed with -9: serving again after {waited:.1f} s")

    def rotated(self) -> None:
        before = self.pid()
        logs = "/var/log/alluxio-s3"
        self.machine.succeeds(f"curl -s -o /dev/null {PLAIN}/bucket/before-rotation")
        wait_until(lambda: self.machine.succeeds(f"grep -q before-rotation {logs}/access.log"), "the access log")
        self.machine.run("logrotate -f /etc/logrotate.d/alluxio-s3")
        time.sleep(1)
        self.machine.succeeds(f"curl -s -o /dev/null {PLAIN}/bucket/after-rotation")
        wait_until(lambda: self.machine.succeeds(f"grep -q after-rotation {logs}/access.log"), "the new access log")
        holds(
            "logrotate: old lines in the old file, new lines in the new",
            self.machine.succeeds(f"grep -q before-rotation {logs}/access.log.1"),
        )
        if not self.systemd:
            held = self.machine.run(f"ls -l /proc/{before}/fd")
            holds("the daemon's own log is open anew", f"{logs}/alluxio-s3.log\n" in held + "\n" and ".log.1" not in held)
        holds("the same process all the while", self.pid() == before)

    def reloaded(self) -> None:
        self.machine.run(CERTIFICATE)
        with (self.machine.root / CONFIG.lstrip("/")).open("a") as config:
            config.write(f"# The administrator's.\n{HTTPS}")
        self.service("restart")
        wait_until(lambda: self.machine.succeeds(f"curl -skf -o /dev/null {SECURE}/"), "HTTPS")
        before, old = self.pid(), self.machine.run(FINGERPRINT)
        self.machine.run(CERTIFICATE)
        self.service("reload")
        wait_until(lambda: self.machine.run(FINGERPRINT) != old, "the new certificate")
        holds("reload takes a new certificate, in the same process", self.pid() == before and self.serves())

    def looked_after(self) -> None:
        """The commands of an operator, on the installed system."""
        asked = "runuser -u alluxio -- alluxio-s3"
        holds("alluxio-s3 status: ready", "ready" in self.machine.run(f"{asked} status --interval 0"))
        said = self.machine.run(f"{asked} doctor --write --json")
        holds("alluxio-s3 doctor finds no problem", '"ok": true' in said)
        holds("alluxio-s3 bench", "GET" in self.machine.run(f"env AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b {asked} bench --count 20"))
        holds(
            "bash completes its commands",
            "doctor"
            in self.machine.run(
                "bash -n /usr/share/bash-completion/completions/alluxio-s3 &&"
                " env COMP_WORDS='alluxio-s3 doc' COMP_CWORD=1 _ALLUXIO_S3_COMPLETE=bash_complete alluxio-s3"
            ),
        )
        wait_until(lambda: self.machine.succeeds("grep -q DeleteBucket /var/log/alluxio-s3/audit.log"), "the audit log")
        holds("the audit log has who wrote")
        before = self.pid()
        with (self.machine.root / CONFIG.lstrip("/")).open("a") as config:
            config.write("alluxio.proxy.s3.header.metadata.max.size=64\n")
        self.service("reload")
        long = f"curl -s -o /dev/null -w '%{{http_code}}' -X PUT -H 'x-amz-meta-a: {'x' * 100}' {PLAIN}/bucket/meta"
        wait_until(lambda: self.machine.run(long) == "400", "a property to be taken")
        holds("reload takes a property, in the same process", self.pid() == before)

    def restarted_behind_its_socket(self) -> None:
        self.machine.run("systemctl stop alluxio-s3 && systemctl enable -q --now alluxio-s3.socket && systemctl start alluxio-s3")
        self.machine.run(
            "systemd-run -q --unit=load -p StandardOutput=file:/root/figures python3.11 /root/load.py 29998 /bucket/k 8 /root/over"
        )
        wait_until(lambda: self.machine.succeeds("grep -q asking /root/figures"), "the load")
        slowest = 0.0
        for _ in range(RESTARTS):
            start = time.monotonic()
            # So many in so short a time are more than systemd lets pass.
            self.machine.run("systemctl reset-failed alluxio-s3")
            self.service("restart")
            slowest = max(slowest, time.monotonic() - start)
        self.machine.run("touch /root/over")
        wait_until(lambda: not self.machine.succeeds("systemctl is-active load"), "the last answers")
        _, figures = self.machine.run("cat /root/figures").splitlines()
        asked, lost, *_ = figures.split()
        holds(f"{RESTARTS} restarts behind the socket (at most {slowest:.1f} s each): {asked} requests, {lost} lost {figures}", lost == "0")
        self.machine.run("systemctl stop alluxio-s3.service alluxio-s3.socket && systemctl disable -q alluxio-s3.socket")
        self.machine.run("systemctl reset-failed alluxio-s3 && systemctl start alluxio-s3")

    def upgraded(self) -> None:
        edited = self.machine.run(f"cat {CONFIG}")
        self.machine.run("apt-get install -y -q -o Dpkg::Options::=--force-confold /root/later.deb")
        wait_until(self.serves, "the daemon to serve after an upgrade")
        holds("upgraded: the edited conffile is as it was", self.machine.run(f"cat {CONFIG}") == edited)
        holds("and the new one beside it", self.machine.succeeds(f"grep -q 'later version' {CONFIG}.dpkg-dist"))
        holds("and the object is there", self.machine.succeeds(f"curl -sf {PLAIN}/bucket/k | cmp - /tmp/k"))

    def removed(self) -> None:
        self.machine.run("apt-get remove -y -q alluxio-s3")
        holds("removed: nothing serves, nothing runs", not self.serves() and not self.machine.succeeds("pgrep -u alluxio"))
        holds("configuration and objects stay", self.machine.succeeds(f"test -s {CONFIG} && cmp /tmp/k /var/lib/alluxio-s3/data/bucket/k"))
        holds("of the program nothing stays", not self.machine.succeeds("test -e /usr/lib/alluxio-s3"))

    def purged(self) -> None:
        self.machine.run("rm /etc/alluxio/cert.pem /etc/alluxio/key.pem && apt-get purge -y -q alluxio-s3")
        new = sorted(one for one in self.machine.files() - self.before if NEVER_LEFT.search(one) or not DEBIANS_OWN.match(one))
        holds(f"purged: no file is left {' '.join(new)}", not new)
        holds("but the user is", self.machine.succeeds("id alluxio"))


def main() -> None:
    """Try each kind that the command line names."""
    packages = sorted(DIST.glob("alluxio-s3_*.deb"), key=os.path.getmtime)
    missing = [name for name in ("mmdebstrap", "systemd-nspawn", "nsenter", "dpkg-deb") if shutil.which(name) is None]
    if os.geteuid() or missing or not packages:
        sys.exit(f"This needs root, a package in dist/ (make deb){', and ' + ', '.join(missing) if missing else ''}.")
    with tempfile.TemporaryDirectory() as directory:
        newer = later(packages[-1], Path(directory))
        for kind in sys.argv[1:] or ["systemd", "sysvinit"]:
            start = time.monotonic()
            print(f"{packages[-1].name} in a clean Debian 12 with {kind}", flush=True)
            with Machine(kind) as machine:
                Trial(machine, packages[-1], newer).all()
            print(f"  all holds; {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
