"""Who may do what, as an Open Policy Agent says: the REST API of OPA, "Get a Document (with Input)"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.web.client import Agent, HTTPConnectionPool
from zope.interface import implementer

from alluxio_s3.auth.policy import names_of
from alluxio_s3.interfaces import IAuthorizer, IPluginFactory, IPrincipal
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.threads import Threads

TIMEOUT_SECONDS = 5.0


@implementer(IAuthorizer)
@frozen
class OpaAuthorizer:
    """Asks ``uri`` about every action. True, or an object whose ``allow`` is true, is yes; anything else is no."""

    uri: str
    client: HTTPClient
    _log = Logger()

    async def authorize(self, principal: IPrincipal, action: str, bucket: str, key: str) -> None:
        """See ``IAuthorizer``. While the agent can't be reached nothing is allowed."""
        user, groups, roles = names_of(principal)
        question = {
            "user": user,
            "how": principal.how,
            "groups": sorted(groups),
            "roles": sorted(roles),
            "action": action,
            "bucket": bucket,
            "key": key,
        }
        try:
            result = await self._ask(question)
        except CancelledError:
            raise
        except Exception as problem:  # noqa: BLE001  # whatever a network and a foreign server can do
            self._log.error("The policy agent at {uri} gives no answer: {problem!r}", uri=self.uri, problem=problem)
            raise S3Error("ServiceUnavailable", "The policy can't be asked just now.") from None
        if not (result is True or (isinstance(result, dict) and result.get("allow") is True)):
            raise S3Error("AccessDenied", f"{user} is not allowed to do {action} here.")

    async def _ask(self, question: Mapping[str, object]) -> Any:
        response = await self.client.post(self.uri, json={"input": question}, timeout=TIMEOUT_SECONDS, allow_redirects=False)
        content = await response.content()
        if response.code != 200:
            raise ValueError(f"it answers {response.code}")
        return json.loads(content).get("result")


@implementer(IPluginFactory)
class OpaFactory:
    """Builds the authorizer. Option ``uri``: the document to ask for, such as ``http://127.0.0.1:8181/v1/data/alluxio/allow``."""

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> OpaAuthorizer:
        """See ``IPluginFactory``."""
        del threads
        uri = options.get("uri", "")
        if not uri.startswith(("http://", "https://")):
            raise ValueError("it needs the address of the document to ask for: set alluxio.worker.s3.plugin.opa.uri")
        return OpaAuthorizer(uri, HTTPClient(Agent(reactor, connectTimeout=TIMEOUT_SECONDS, pool=HTTPConnectionPool(reactor))))
