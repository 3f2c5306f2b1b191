"""The table of S3 actions, and which one a request asks for.

An action's key is its method, what it is on (service, bucket or object), the query keys and the
headers that must be there. The most specific one that fits wins; two that could not be told
apart fail at import. What a query key's presence decides, its value cannot undo.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar, TypeVar

from attrs import frozen

from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import RequestHead

SERVICE, BUCKET, OBJECT = "service", "bucket", "object"

# Query keys of authentication, in whatever form; and "x-*", which S3 leaves to its users' logs.
_AUTHENTICATION = frozenset({"AWSAccessKeyId", "Signature", "Expires"})


@frozen
class Route:
    """How a request names an action. ``accepts`` are the further query keys that it understands."""

    name: str
    method: str
    on: str
    query: frozenset[str]
    headers: frozenset[str]
    accepts: frozenset[str]
    permission: str


class Action(ABC):
    """One S3 action. Has no state: one instance serves every request."""

    route: ClassVar[Route]

    @abstractmethod
    async def run(self, call: Call) -> Response:
        """Do it. Raises S3Error and StorageError."""


A = TypeVar("A", bound=type[Action])


class Registry:
    """The actions that the gateway knows."""

    def __init__(self) -> None:
        self._actions: dict[tuple[str, str], list[Action]] = {}

    def action(
        self,
        name: str,
        *,
        method: str,
        on: str,
        query: Iterable[str] = (),
        headers: Iterable[str] = (),
        accepts: Iterable[str] = (),
        permission: str = "",
    ) -> Callable[[A], A]:
        """Class decorator that enters an action. ``permission`` defaults to ``s3:<name>``."""
        route = Route(name, method, on, frozenset(query), frozenset(headers), frozenset(accepts), permission or f"s3:{name}")

        def enter(cls: A) -> A:
            cls.route = route
            self.add(cls())
            return cls

        return enter

    def add(self, action: Action) -> None:
        """Enter an action. Raises ValueError if another one answers to the same request."""
        route = action.route
        row = self._actions.setdefault((route.method, route.on), [])
        for other in row:
            if (other.route.query, other.route.headers) == (route.query, route.headers):
                raise ValueError(f"{route.name} and {other.route.name} answer to the same request")
        row.append(action)
        row.sort(key=lambda one: (-len(one.route.query), -len(one.route.headers), sorted(one.route.query)))

    def __iter__(self) -> Iterator[Action]:
        for row in self._actions.values():
            yield from row

    def resolve(self, head: RequestHead) -> Action:
        """The action that ``head`` asks for. Raises S3Error: MethodNotAllowed, or InvalidArgument for a
        query key that the action does not understand (dropping it could change what the request means).
        """
        target = head.target
        on = OBJECT if target.key else BUCKET if target.bucket else SERVICE
        row = self._actions.get((head.method, on), [])
        keys = frozenset(target.query)
        for action in row:
            route = action.route
            if route.query <= keys and all(name in head.headers for name in route.headers):
                for key in keys - route.query - route.accepts:
                    if key not in _AUTHENTICATION and not key.lower().startswith("x-"):
                        raise _not_understood(key, route)
                return action
        raise S3Error("MethodNotAllowed", Method=head.method, ResourceType=on.upper())

    def table(self) -> Mapping[str, Route]:
        """Every route by the action's name, in the order of the names."""
        return {action.route.name: action.route for action in sorted(self, key=lambda one: one.route.name)}


def _not_understood(key: str, route: Route) -> S3Error:
    return S3Error(
        "InvalidArgument",
        f"{route.name} does not take the query parameter {key!r}, and it is not safe to ignore it.",
        ArgumentName=key,
    )


REGISTRY = Registry()
action = REGISTRY.action
