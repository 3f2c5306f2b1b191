"""The admin port as a command asks it. It waits for answers: a command has nothing else to do."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any

from attrs import field, frozen
from prometheus_client.parser import text_string_to_metric_families

from alluxio_s3.admission import admin_token
from alluxio_s3.cli.configuration import NotDone, ToldWrongly
from alluxio_s3.settings import Loaded, SettingsError

SECONDS = 10.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104

Labels = frozenset[tuple[str, str]]


@frozen
class Figures:
    """What ``/metrics`` said: samples by name and labels."""

    samples: Mapping[str, Mapping[Labels, float]]

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples of a name that have these labels."""
        return sum(value for has, value in self.samples.get(name, {}).items() if set(labels.items()) <= has)

    def by(self, name: str, label: str) -> dict[str, float]:
        """The sums of a name by the values of a label."""
        found: dict[str, float] = defaultdict(float)
        for has, value in self.samples.get(name, {}).items():
            found[dict(has).get(label, "")] += value
        return dict(found)

    def since(self, before: Figures) -> Figures:
        """What was counted since ``before``; of what is no count, the difference."""
        return Figures(
            {
                name: {has: value - before.samples.get(name, {}).get(has, 0.0) for has, value in found.items()}
                for name, found in self.samples.items()
            }
        )

    def quantile(self, name: str, part: float) -> float | None:
        """Below which bound of a histogram so large a part of it is; None if nothing is in it."""
        found: dict[float, float] = defaultdict(float)
        for has, value in self.samples.get(f"{name}_bucket", {}).items():
            found[float(dict(has)["le"])] += value
        count = max(found.values(), default=0.0)
        return next((bound for bound, below in sorted(found.items()) if count and below >= part * count), None)


@frozen
class AdminClient:
    """Asks the admin port at ``host`` and ``port``. Raises NotDone when there is no answer."""

    host: str
    port: int
    token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, loaded: Loaded, address: str | None) -> AdminClient:
        """For ``address`` (``host:port``), or the port of the configuration. Raises ToldWrongly."""
        try:
            token = admin_token(loaded.settings)
        except SettingsError as problem:
            raise ToldWrongly(str(problem)) from None
        if address is not None:
            host, _, port = address.rpartition(":")
            if not host or not port.isdecimal():
                raise ToldWrongly(f"--admin: expected HOST:PORT, not {address[:100]!r}")
            return cls(host.strip("[]"), int(port), token)
        if not loaded.settings.admin_port:
            raise ToldWrongly("say where the admin port is: --admin HOST:PORT, or set alluxio.worker.s3.admin.port")
        host = loaded.settings.admin_bind_host
        return cls(_ANYWHERE.get(host, host), loaded.settings.admin_port, token)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of an answer."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            connection = HTTPConnection(self.host, self.port, timeout=SECONDS)
            try:
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            finally:
                connection.close()
        except (OSError, HTTPException) as problem:
            raise NotDone(f"no daemon answers at {self.host}:{self.port}: {problem}") from None

    def ready(self) -> dict[str, Any]:
        """What ``/ready`` says."""
        _, body = self.get("/ready")
        found = json.loads(body)
        return {"ready": bool(found["ready"]), "reasons": found.get("reasons", {}), "warnings": found.get("warnings", {})}

    def figures(self) -> Figures:
        """What ``/metrics`` says."""
        status, body = self.get("/metrics")
        if status != 200:
            raise NotDone(f"the admin port at {self.host}:{self.port} answers {status}: does it want a token?")
        samples: dict[str, dict[Labels, float]] = defaultdict(dict)
        for family in text_string_to_metric_families(body.decode()):
            for one in family.samples:
                samples[one.name][frozenset(one.labels.items())] = one.value
        return Figures(samples)
