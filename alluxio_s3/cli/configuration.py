"""The options by which every command finds the configuration: the daemon's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from alluxio_s3.settings import Loaded, SettingsError, load
from alluxio_s3.settings.mount_options import is_secret

P = ParamSpec("P")
T = TypeVar("T")


class ToldWrongly(click.ClickException):
    """The command line or the configuration asks for what cannot be."""

    exit_code = 2


class NotDone(click.ClickException):
    """What was asked for could not be done."""

    exit_code = 1


def configured(command: Callable[Concatenate[Loaded, P], T]) -> Callable[..., T]:
    """Give ``command`` the options ``--config`` and ``-o``, and the configuration that they make as its first argument."""

    @click.option("--config", "-c", metavar="FILE", help="The properties file; else it is looked for as Alluxio does.")
    @click.option("-o", "overrides", metavar="NAME=VALUE", multiple=True, help="Set a property; may be given again for others.")
    @wraps(command)
    def with_configuration(*args: Any, config: str | None, overrides: tuple[str, ...], **rest: Any) -> T:
        for assignment in overrides:
            name = assignment.partition("=")[0].strip()
            if is_secret(name):
                raise ToldWrongly(f"{name} is a secret, and everyone sees the command line: set it in the properties file.")
        try:
            loaded = load(config, overrides, os.environ, str(Path.cwd()))
        except SettingsError as problem:
            raise ToldWrongly(str(problem)) from None
        return command(loaded, *args, **rest)

    return with_configuration
