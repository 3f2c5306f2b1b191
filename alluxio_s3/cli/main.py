"""The entry point of ``alluxio-s3``, and its groups of commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from alluxio_s3 import __version__
from alluxio_s3.cli.bench import bench
from alluxio_s3.cli.cache import explain, free, ls_cache
from alluxio_s3.cli.doctor import doctor
from alluxio_s3.cli.load import load
from alluxio_s3.cli.mounts import mount
from alluxio_s3.cli.policy import policy
from alluxio_s3.cli.status import status


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="alluxio-s3")
def main() -> None:
    """Look after a daemon that serves the S3 API of an Alluxio worker.

    The daemon itself is started by `twistd alluxio-s3`. Commands end with 0 when done, 1 when that could not be done, 2 when
    they were told wrongly, by the command line or by the configuration.
    """


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what a shell needs to complete these commands, as in: source <(alluxio-s3 completion bash)."""
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(main, {}, "alluxio-s3", "_ALLUXIO_S3_COMPLETE").source())


for command in (status, doctor, bench, mount, load, free, ls_cache, explain, policy, completion):
    main.add_command(command)
