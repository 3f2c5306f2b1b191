"""What a page of docs/ has its reader write and type."""

from __future__ import annotations

import re
from pathlib import Path

_FILE = re.compile(r"^\*\*`([^`]+)`\*\*\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (.*)\n((?:[^$].*\n)*)", re.MULTILINE)

# What "pip install" on a page becomes: with what is here, and no network.
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation")


def files_on(page: Path) -> dict[str, str]:
    """The files by name: blocks of code under a line that is a bold file name."""
    return dict(_FILE.findall(page.read_text()))


def commands_on(page: Path) -> list[tuple[str, str]]:
    """The commands in the console blocks, each with what it prints."""
    return [command for console in _CONSOLE.findall(page.read_text()) for command in _COMMAND.findall(console)]


def properties_in(text: str) -> dict[str, str]:
    """The lines of a properties file, by name."""
    return dict(line.split("=", 1) for line in text.splitlines())
