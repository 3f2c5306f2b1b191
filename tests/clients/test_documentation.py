"""docs/clients.md: its examples, run as they stand there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from attrs import frozen

from tests.clients.programs import ROOT, Program, installed, on_the_system
from tests.clients.samples import PAGE, random_file

PAGE_OF_CLIENTS = ROOT / "docs" / "clients.md"


@frozen
class Example:
    """A section of the page: which client's environment its examples need, and the file that its settings go to."""

    title: str
    client: str
    settings: str = ""

    @property
    def blocks(self) -> list[tuple[str, str]]:
        """The fenced blocks of the section: language and text."""
        sections = re.split(r"^## ", PAGE_OF_CLIENTS.read_text(), flags=re.MULTILINE)
        (section,) = [text for text in sections if text.startswith(f"{self.title}\n")]
        return re.findall(r"^```(\w+)\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


EXAMPLES = [
    pytest.param(Example("AWS command line", "aws-cli"), marks=pytest.mark.ci),
    pytest.param(Example("boto3", "boto3"), marks=pytest.mark.ci),
    Example("PyTorch", "torch"),
    Example("s3fs, pandas, dask, zarr", "s3fs"),
    pytest.param(Example("pyarrow", "pyarrow"), marks=pytest.mark.ci),
    Example("polars, deltalake, obstore", "tables"),
    Example("MinIO's Python client", "minio"),
    pytest.param(Example("JavaScript", "javascript"), marks=pytest.mark.ci),
    pytest.param(Example("s5cmd", "s5cmd"), marks=pytest.mark.ci),
    Example("rclone", "rclone", ".config/rclone/rclone.conf"),
    Example("s3cmd", "s3cmd", ".s3cfg"),
    Example("restic", "restic"),
    pytest.param(Example("curl and wget", "curl"), marks=pytest.mark.ci),
]


def command_of(client: str, language: str, directory: Path) -> list[str]:
    """The interpreter of a block, ready to read the block from its standard input."""
    if language == "python":
        return [sys.executable if client == "boto3" else str(installed(client, "python")), "-"]
    if language == "js":
        node = installed("javascript", "node")
        packages = directory / "node_modules"
        if not packages.exists():
            packages.symlink_to(node.parent.parent / "node_modules")
        return [str(node), "--input-type=module", "-"]
    return ["sh", "-eu"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_examples(example: Example, environment: dict[str, str], endpoint: str, bucket: str, home: Path, tmp_path: Path) -> None:
    """Each section's settings and examples work, the endpoint and the bucket's name apart, and leave something in the bucket."""
    random_file(tmp_path / "README.md", PAGE)
    if example.client in ("curl", "restic"):
        on_the_system(example.client)
    elif example.client not in ("boto3", "javascript"):
        environment["PATH"] = f"{installed(example.client, 'python').parent}:{environment['PATH']}"
    blocks = example.blocks
    assert blocks
    for language, text in blocks:
        block = re.sub(r"\bexample\b", bucket, text.replace("http://127.0.0.1:29998", endpoint))
        block = block.replace("127.0.0.1:29998", endpoint.removeprefix("http://"))
        if language == "ini":
            settings = home / example.settings
            settings.parent.mkdir(parents=True, exist_ok=True)
            settings.write_text(block)
        else:
            Program(command_of(example.client, language, tmp_path), environment, tmp_path)(data=block.encode())


# What has tests of its own: test_triton.py, and test_redirected_clients.py in tests/cluster.
ELSEWHERE = ("Triton", "In a cluster")


@pytest.mark.ci
def test_every_section_has_its_example() -> None:
    """No client is on the page without being tried."""
    titles = re.findall(r"^## (.*)$", PAGE_OF_CLIENTS.read_text(), flags=re.MULTILINE)
    examples = [getattr(example, "values", [example])[0] for example in EXAMPLES]
    assert [title for title in titles if title not in ELSEWHERE] == [*(example.title for example in examples), "What to expect"]
    assert set(ELSEWHERE) <= set(titles)
