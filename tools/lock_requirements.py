"""Prints the requirements of the Debian package, each of one version and with the hashes of its files.

Give it what setup.py asks for, or other requirements; run it with the Python that the package will have. They are looked for where pip
is configured to look.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

_WHEEL = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)-")


def locked(requirements: list[str], wheels: Path) -> list[str]:
    """A line for each distribution that ``requirements`` come to. Their wheels are left in ``wheels``."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", str(wheels), *requirements]
    subprocess.run(command, check=True)
    lines = []
    for path in wheels.glob("*.whl"):
        found = _WHEEL.match(path.name)
        assert found is not None, path
        name = found["name"].lower().replace("_", "-")
        lines.append(f"{name}=={found['version']} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")
    return sorted(lines)


def main() -> None:
    """Lock what the command line names."""
    with tempfile.TemporaryDirectory() as wheels:
        print("# Printed by `make deb-lock` from what setup.py asks for. Do not edit.")
        print(*locked(sys.argv[1:], Path(wheels)), sep="\n")


if __name__ == "__main__":
    main()
