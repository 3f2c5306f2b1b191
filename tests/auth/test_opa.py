"""OPA: its document decides, and nothing is allowed while it can't be asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from alluxio_s3.auth.opa import OpaAuthorizer, OpaFactory
from alluxio_s3.auth.principals import Principal
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.threads import Threads

ALICE = Principal("alice", "sigv4", frozenset({"b", "a"}))


class Agent(Resource):
    """Answers every question with ``answer``, and remembers them."""

    isLeaf = True  # noqa: N815  # Twisted's name

    def __init__(self) -> None:
        super().__init__()
        self.answer: Any = {"result": True}
        self.code = 200
        self.asked: list[Any] = []
        self.port = reactor.listenTCP(0, Site(self), interface="127.0.0.1")  # type: ignore[attr-defined]

    def render_POST(self, request: Request) -> bytes:
        """Twisted's name."""
        self.asked.append(json.loads(request.content.read()))
        request.setResponseCode(self.code)
        return json.dumps(self.answer).encode()


@pytest_twisted.async_yield_fixture
async def agent() -> AsyncIterator[Agent]:
    """A policy agent that listens."""
    one = Agent()
    yield one
    await maybeDeferred(one.port.stopListening)


@pytest_twisted.async_yield_fixture
async def authorizer(agent: Agent) -> AsyncIterator[OpaAuthorizer]:
    """What asks that agent."""
    uri = f"http://127.0.0.1:{agent.port.getHost().port}/v1/data/alluxio/allow"
    one = OpaFactory().build({"uri": uri}, reactor, Threads(reactor, 1, "none"))  # type: ignore[arg-type]  # runs nothing
    yield one
    await one.client._agent._pool.closeCachedConnections()  # type: ignore[attr-defined]


async def code_of(authorizer: OpaAuthorizer) -> str:
    try:
        await authorizer.authorize(ALICE, "s3:GetObject", "models", "a/é")
    except S3Error as error:
        return error.code
    return ""


@pytest_twisted.ensureDeferred
async def test_answers(authorizer: OpaAuthorizer, agent: Agent) -> None:
    """True allows, as does an object that says so; everything else does not, and an agent that is out of order is nobody's fault."""
    for answer, code in (
        ({"result": True}, ""),
        ({"result": {"allow": True}}, ""),
        ({"result": False}, "AccessDenied"),
        ({"result": {"allow": "yes"}}, "AccessDenied"),
        ({"result": 1}, "AccessDenied"),
        ({}, "AccessDenied"),
        ([], "ServiceUnavailable"),
    ):
        agent.answer = answer
        assert await code_of(authorizer) == code, answer
    agent.answer, agent.code = {"result": True}, 500
    assert await code_of(authorizer) == "ServiceUnavailable"
    asked = {"user": "alice", "how": "sigv4", "groups": ["a", "b"], "roles": [], "action": "s3:GetObject", "bucket": "models", "key": "a/é"}
    assert agent.asked[0] == {"input": asked}


@pytest_twisted.ensureDeferred
async def test_away(authorizer: OpaAuthorizer, agent: Agent) -> None:
    """While the agent can't be reached, nothing is allowed."""
    await maybeDeferred(agent.port.stopListening)
    assert await code_of(authorizer) == "ServiceUnavailable"


def test_no_address() -> None:
    """Without an address it is told which property to set."""
    with pytest.raises(ValueError, match=r"plugin\.opa\.uri"):
        OpaFactory().build({}, reactor, Threads(reactor, 1, "none"))  # type: ignore[arg-type]
