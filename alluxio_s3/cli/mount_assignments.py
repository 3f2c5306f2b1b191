"""The options of a mount as they are given on a command line, secrets by another way."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from alluxio_s3.cli.configuration import ToldWrongly
from alluxio_s3.settings.mount_options import is_secret

MAX_SECRET_BYTES = 64 << 10


def read_assignments(assignments: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The options that ``name=value`` each give. The value of a secret is ``@FILE``, ``-`` or ``env:NAME``, which is read.

    Raises ToldWrongly, which shows no value.
    """
    options: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ToldWrongly("an option is given as --option NAME=VALUE")
        if name in options:
            raise ToldWrongly(f"the option {name} is given twice")
        options[name] = _secret(name, value, environ) if is_secret(name) else value
    return options


def _secret(name: str, value: str, environ: Mapping[str, str]) -> str:
    if value == "-":
        found = _ask(name)
    elif value.startswith("@"):
        found = _read(name, value[1:])
    elif value.startswith("env:"):
        found = environ.get(value[4:], "")
    else:
        raise ToldWrongly(
            f"{name} is a secret, and everyone sees the command line. Give it as {name}=@FILE, {name}=- (it is asked for, or a line"
            f" of standard input) or {name}=env:NAME."
        )
    if not found:
        raise ToldWrongly(f"the value of {name} is empty")
    return found


def _ask(name: str) -> str:
    if sys.stdin.isatty():
        answer: str = click.prompt(name, hide_input=True, err=True)
        return answer
    return sys.stdin.readline().rstrip("\r\n")


def _read(name: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_SECRET_BYTES + 1)
        if len(raw) > MAX_SECRET_BYTES:
            raise ToldWrongly(f"{name}: {path} is larger than {MAX_SECRET_BYTES} bytes")
        return raw.decode().rstrip("\r\n")
    except OSError as problem:
        raise ToldWrongly(f"{name}: {path} cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise ToldWrongly(f"{name}: {path} is not text in UTF-8") from None
