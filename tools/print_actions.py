"""Prints docs/actions.md from the registry of actions: python -m tools.print_actions"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from alluxio_s3.actions.everything import REGISTRY
from alluxio_s3.actions.registry import ANY, Route

PREFACE = """\
# S3 actions

<!-- Printed by `make docs` from the registry of actions. Do not edit. -->

What the daemon answers, and how a request names it: the method and the kind of target, query parameters and
headers that must be there. The most specific row that fits wins. *Understands* are the further query parameters; any other is
refused, since to ignore one could change what a request means. Those that belong to authentication, and those that begin with `x-`, are
always allowed. *Permission* is S3's name for what the action takes, as [policies](authentication.md) name it.
"""

REFUSED = """
## Known, but not offered

Each of these sub-resources and headers is answered 501 NotImplemented, with whatever method it comes unless one is given: never
ignored, and never taken for something else.
"""

PATHS = {"service": "/", "bucket": "/bucket", "object": "/bucket/key"}


def page() -> str:
    """The whole page."""
    routes = list(REGISTRY.table().values())
    refused = [route for route in routes if not route.offered]
    return PREFACE + "".join([*_offered(route for route in routes if route.offered), REFUSED, *_sub_resources(refused), *_headers(refused)])


def _offered(routes: Iterable[Route]) -> Iterator[str]:
    yield "\n| Action | Request | Understands | Permission |\n| --- | --- | --- | --- |\n"
    for route in routes:
        query = "&".join(sorted(route.query))
        headers = f" with {_codes(route.headers)}" if route.headers else ""
        request = f"`{route.method} {PATHS[route.on]}{'?' + query if query else ''}`{headers}"
        yield f"| {route.name} | {request} | {_codes(route.accepts)} | `{route.permission}` |\n"


def _sub_resources(refused: list[Route]) -> Iterator[str]:
    """A row for each sub-resource, with the operations that S3 has on it."""
    yield "\n| Sub-resource | S3's operations on it |\n| --- | --- |\n"
    rows: dict[str, list[Route]] = {}
    for route in refused:
        if not route.headers:
            rows.setdefault(f"{PATHS[route.on]}{'?' + _only(route.query) if route.query else ''}", []).append(route)
    for path, routes in sorted(rows.items()):
        methods = "" if any(route.method == ANY for route in routes) else " ".join(sorted(route.method for route in routes)) + " "
        names = sorted(route.name for route in routes if route.name.isalnum())
        yield f"| `{methods}{path}` | {', '.join(names)} |\n"


def _headers(refused: list[Route]) -> Iterator[str]:
    """A row for each header, with the targets on which it is refused."""
    yield "\n| Header | On |\n| --- | --- |\n"
    rows: dict[str, set[str]] = {}
    for route in refused:
        if route.headers:
            rows.setdefault(_only(route.headers), set()).add(route.on)
    for header, targets in sorted(rows.items()):
        yield f"| `{header}` | {', '.join(sorted(targets))} |\n"


def _only(names: frozenset[str]) -> str:
    (name,) = names
    return name


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


if __name__ == "__main__":
    print(page(), end="")
