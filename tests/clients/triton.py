"""A real Triton inference server, which has its models in a bucket."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.clients.programs import installed

# A model that says what is in the file beside it.
CONFIG = """\
name: "said"
backend: "python"
max_batch_size: 0
input [{name: "INPUT0", data_type: TYPE_FP32, dims: [-1]}]
output [{name: "OUTPUT0", data_type: TYPE_STRING, dims: [-1]}]
instance_group [{kind: KIND_CPU, count: 1}]
"""
MODEL = """\
import hashlib
from pathlib import Path

import numpy
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        weights = Path(args["model_repository"], args["model_version"], "weights.csv").read_bytes()
        self.said = hashlib.sha256(weights).hexdigest()

    def execute(self, requests):
        answer = numpy.array([self.said.encode()], dtype=numpy.object_)
        return [triton.InferenceResponse([triton.Tensor("OUTPUT0", answer)]) for _ in requests]
"""


def repository(weights: bytes) -> dict[str, bytes]:
    """The files of a model repository with one model, by key: ``weights`` are what it speaks of."""
    return {"said/config.pbtxt": CONFIG.encode(), "said/1/model.py": MODEL.encode(), "said/1/weights.csv": weights}


class Triton:
    """The server, as a context manager, which polls its repository each second.

    Args:
        url: where the models are, such as `s3://http://127.0.0.1:29998/models/repository`.
        environment: with AWS's credentials.
        directory: for its log and its temporary files.
    """

    def __init__(self, url: str, environment: Mapping[str, str], directory: Path) -> None:
        python = installed("triton", "python")
        (self._home,) = python.parent.parent.glob("lib/python*/site-packages/pytriton/tritonserver")
        self._url = url
        # Its models run in the first Python of the path.
        self._environment = {**environment, "PATH": f"{python.parent}:{environment['PATH']}", "TMPDIR": str(directory)}
        self.log = directory / "triton.log"
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self._port = listening.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(self._home / "bin" / "tritonserver"),
                    f"--model-repository={self._url}",
                    "--model-control-mode=poll",
                    "--repository-poll-secs=1",
                    f"--backend-directory={self._home / 'backends'}",
                    "--http-address=127.0.0.1",
                    f"--http-port={self._port}",
                    "--allow-grpc=false",
                    "--allow-metrics=false",
                ],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def alive(self) -> bool:
        """Whether it runs: it ends by itself when it can't have its models."""
        return self._process is not None and self._process.poll() is None

    def said(self) -> str | None:
        """What the model says; None while it is not there."""
        wanted = {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1], "data": [0.0]}]}
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/v2/models/said/infer", json.dumps(wanted).encode())
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(json.load(answer)["outputs"][0]["data"][0])
        except (urllib.error.HTTPError, OSError):
            return None

    def comes_to_say(self, wanted: str, patience: float = 120.0) -> bool:
        """Whether the model says that, within so many seconds, before the server ends."""
        deadline = time.monotonic() + patience
        while self.alive and time.monotonic() < deadline:
            if self.said() == wanted:
                return True
            time.sleep(0.2)
        return False
