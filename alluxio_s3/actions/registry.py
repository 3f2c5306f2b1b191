"""The table of S3 actions, and which one a request asks for.

An action's key is its method, what it is on (service, bucket or object), the query keys and the
headers that must be there. The most specific one that fits wins; two that could not be told
apart fail at import. What a query key's presence decides, its value cannot undo.

An action that S3 has and the daemon has not is in the table too (``offered`` is false). It wins over every other one,
whatever else the request says, so that ``DELETE /b/k?acl`` cannot be taken for the deletion of the object.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from attrs import define, field, frozen

from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.s3.target import Query

SERVICE, BUCKET, OBJECT = "service", "bucket", "object"
ANY = "*"  # the method of what is not offered, whatever the method

# Query keys of authentication, in whatever form; and "x-*", which S3 leaves to its users' logs.
_AUTHENTICATION = frozenset({"AWSAccessKeyId", "Signature", "Expires"})
# The headers under a version 2 signature: boto repeats them in the URLs that it signs so.
_SIGNED_HEADERS = frozenset({"content-md5", "content-type", "date"})


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
    offered: bool = True

    def fits(self, head: RequestHead, keys: frozenset[str]) -> bool:
        """Whether ``head``, whose query keys are ``keys``, has all that names this action."""
        return self.query <= keys and all(name in head.headers for name in self.headers)


# A permission, and the bucket and key that it is needed for.
Need = tuple[str, str, str]


class Action(ABC):
    """One S3 action. Has no state: one instance serves every request."""

    route: Route

    def needs(self, head: RequestHead) -> Iterator[Need]:
        """What the sender of ``head`` must be allowed to do, as far as the head tells; ``run`` asks for the rest (``Call.authorize``)."""
        yield self.route.permission, head.target.bucket, head.target.key
        if self.route.permission == "s3:PutObject" and "x-amz-tagging" in head.headers:
            yield "s3:PutObjectTagging", head.target.bucket, head.target.key

    @abstractmethod
    async def run(self, call: Call) -> Response:
        """Do it. Raises S3Error and StorageError."""


A = TypeVar("A", bound=type[Action])


@define
class _Row:
    """The actions of one method on one kind of resource: ``offered`` most specific first; the others by what names them."""

    offered: list[Action] = field(factory=list)
    refused_keys: dict[str, Action] = field(factory=dict)
    refused_headers: dict[str, Action] = field(factory=dict)


class Registry:
    """The actions that the gateway knows."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Row] = {}
        self._named: dict[str, Action] = {}

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
        """Enter an action. Raises ValueError if another one has its name or answers to the same request.

        One that is not offered is named by one query key, or by one header (or by neither).
        """
        route = action.route
        if route.name in self._named:
            raise ValueError(f"there are two actions {route.name}")
        row = self._rows.setdefault((route.method, route.on), _Row())
        if route.offered or not (route.query or route.headers):
            for other in row.offered:
                if (other.route.query, other.route.headers) == (route.query, route.headers):
                    raise ValueError(f"{route.name} and {other.route.name} answer to the same request")
            row.offered.append(action)
            row.offered.sort(key=lambda one: (-len(one.route.query), -len(one.route.headers), sorted(one.route.query)))
        else:
            (key,) = route.query or route.headers
            refused = row.refused_keys if route.query else row.refused_headers
            if key in refused:
                raise ValueError(f"{route.name} and {refused[key].route.name} answer to the same request")
            refused[key] = action
        self._named[route.name] = action

    def __iter__(self) -> Iterator[Action]:
        return iter(self._named.values())

    def resolve(self, head: RequestHead) -> Action:
        """The action that ``head`` asks for.

        Raises S3Error: MethodNotAllowed; InvalidArgument for a version, and for a query key that the
        action does not understand (dropping it could change what the request means).
        """
        target = head.target
        on = OBJECT if target.key else BUCKET if target.bucket else SERVICE
        row = self._rows.get((head.method, on))
        for refusing in (row, self._rows.get((ANY, on))):
            refused = None if refusing is None else _refused(refusing, head)
            if refused is not None:
                return refused
        keys = frozenset(target.query) if target.query.pairs else frozenset()
        if on == OBJECT and "versionId" in keys:
            _check_version(target.query)
            keys -= {"versionId"}
        for action in row.offered if row is not None else ():
            route = action.route
            if route.fits(head, keys):
                if route.offered:
                    self._check_keys(keys, route)
                return action
        raise self._not_allowed(head.method, on)

    def permissions(self) -> frozenset[str]:
        """Everything that somebody may be allowed to do."""
        return frozenset(one.route.permission for one in self)

    def table(self) -> Mapping[str, Route]:
        """Every route by the action's name, in the order of the names."""
        return {name: self._named[name].route for name in sorted(self._named)}

    def _check_keys(self, keys: frozenset[str], route: Route) -> None:
        harmless = _AUTHENTICATION | _SIGNED_HEADERS if "AWSAccessKeyId" in keys else _AUTHENTICATION
        for key in sorted(keys - route.query - route.accepts - harmless):
            if key.lower().startswith("x-"):
                continue
            others = {one.route.method for one in self if one.route.on == route.on and key in one.route.query}
            if others and route.method not in others:
                raise _method_not_allowed(route.method, key, others)
            raise S3Error(
                "InvalidArgument",
                f"{route.name} does not take the query parameter {key!r}, and it is not safe to ignore it.",
                ArgumentName=key,
            )

    def _not_allowed(self, method: str, on: str) -> S3Error:
        others = {route.method for one in self if (route := one.route).on == on and route.offered and not route.query}
        return _method_not_allowed(method, on, others)


def _refused(row: _Row, head: RequestHead) -> Action | None:
    if row.refused_keys and head.target.query.pairs:
        for key in head.target.query:
            if key in row.refused_keys:
                return row.refused_keys[key]
    if row.refused_headers:
        for name in head.headers:
            if name in row.refused_headers:
                return row.refused_headers[name]
    return None


def _check_version(query: Query) -> None:
    """Without versioning every object is the version ``null``."""
    for name, value in query.pairs:
        if name == "versionId" and value != "null":
            raise S3Error(
                "InvalidArgument",
                "Invalid version id specified: buckets are not versioned here, and the one version of an object is 'null'.",
                ArgumentName="versionId",
                ArgumentValue=value,
            )


def _method_not_allowed(method: str, resource: str, allowed: set[str]) -> S3Error:
    return S3Error("MethodNotAllowed", headers={"Allow": ", ".join(sorted(allowed))}, Method=method, ResourceType=resource.upper())


REGISTRY = Registry()
action = REGISTRY.action
