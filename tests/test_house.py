"""The rules of the house that no linter knows. CONTRIBUTING.md gives the reasons."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

from alluxio_s3.settings import Settings
from alluxio_s3.settings.properties import properties_of
from tools import draw_architecture, print_actions, print_configuration, print_metrics, print_redirects, rooms

MODULES = {str(path.relative_to(rooms.ROOT)): path for path in rooms.modules()}
TESTS = {str(path.relative_to(rooms.ROOT)): path for path in sorted((rooms.ROOT / "tests").rglob("test_*.py"))}
DOCS = rooms.ROOT / "docs"

OURS = {"alluxio_s3", "benchmarks", "clients", "running", "tests", "tools", "wire"}

MODULE_LINES = 400
FUNCTION_LINES = 70
NOT_NOUNS = {"base", "common", "handler", "handlers", "helper", "helpers", "manager", "managers", "misc", "stuff", "util", "utils"}

EVERY_PROPERTY = properties_of(Settings)

Function = ast.FunctionDef | ast.AsyncFunctionDef

every_module = pytest.mark.parametrize("path", MODULES.values(), ids=MODULES.keys())
every_test_module = pytest.mark.parametrize("path", TESTS.values(), ids=TESTS.keys())


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(node: ast.AST) -> Iterator[Function]:
    return (one for one in ast.walk(node) if isinstance(one, Function))


@every_module
def test_layers_look_one_way(path: Path) -> None:
    """A room imports those of lower layers only; rooms of one layer meet through the layers below them."""
    own = rooms.room_of(path)
    for name, line in rooms.imported(path):
        parts = name.split(".")
        if parts[0] != "alluxio_s3" or len(parts) == 1 or parts[1] in (own, "__version__"):
            continue
        assert own, f"{path}:{line}: the package itself imports nothing"
        assert rooms.rank(parts[1]) < rooms.rank(own), f"{path}:{line}: {own} must not import {parts[1]}"


@every_module
def test_the_protocol_is_pure(path: Path) -> None:
    """s3/ imports the standard library, attrs, checksums and the vocabulary: no network, no files, no other room."""
    if rooms.room_of(path) != "s3":
        return
    allowed = {"alluxio_s3.s3", "alluxio_s3.storage"}
    for name, line in rooms.imported(path):
        parts = name.split(".")
        pure = parts[0] in {"attrs", "awscrt"} or (
            parts[0] in sys.stdlib_module_names and parts[0] not in {"socket", "os", "asyncio", "threading"}
        )
        assert pure or ".".join(parts[:2]) in allowed, f"{path}:{line}: {name}"


@every_module
def test_the_reactor_is_passed_in(path: Path) -> None:
    """Only tap.py names the global reactor, since importing it installs one."""
    if path.name == "tap.py":
        return
    for name, line in rooms.imported(path):
        assert name != "twisted.internet.reactor", f"{path}:{line}"


@every_module
def test_modules_are_nouns_of_a_size(path: Path) -> None:
    """A module is called after what it is about, and fits in one head."""
    assert not NOT_NOUNS & set(path.relative_to(rooms.PACKAGE).with_suffix("").parts)
    assert len(path.read_text().splitlines()) <= MODULE_LINES


@every_module
def test_functions_fit_on_a_page(path: Path) -> None:
    """No function is longer than a page."""
    for function in functions(tree(path)):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= FUNCTION_LINES, f"{path}:{function.lineno}: {function.name} has {length} lines"


@every_module
def test_annotations_come_first(path: Path) -> None:
    """Every module that defines something begins with the one future import."""
    body = [node for node in tree(path).body if not isinstance(node, ast.Expr)]
    if any(isinstance(node, Function | ast.ClassDef | ast.AnnAssign) for node in body):
        assert isinstance(body[0], ast.ImportFrom), path
        assert body[0].module == "__future__", f"{path} does not begin with the future import of annotations"


@every_module
def test_what_is_public_is_documented(path: Path) -> None:
    """Modules, classes, functions and methods that are public say what they are for; methods of an interface are
    documented there, and those that Twisted calls (camelCase) by Twisted.
    """
    module = tree(path)
    assert ast.get_docstring(module), f"{path} has no docstring"
    for node in module.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        assert ast.get_docstring(node), f"{path}:{node.lineno}: {node.name} has no docstring"
        if isinstance(node, ast.ClassDef) and not node.bases and not node.decorator_list:
            for method in (one for one in node.body if isinstance(one, Function) and re.fullmatch(r"[a-z][a-z0-9_]*", one.name)):
                assert ast.get_docstring(method), f"{path}:{method.lineno}: {node.name}.{method.name} has no docstring"


@every_test_module
def test_tests_say_their_promise(path: Path) -> None:
    """The docstring of a test is the promise that it checks."""
    for function in functions(tree(path)):
        if function.name.startswith("test_"):
            assert ast.get_docstring(function), f"{path}:{function.lineno}: {function.name} has no docstring"


@every_test_module
def test_tests_do_not_sleep(path: Path) -> None:
    """A test waits for what it needs, not for a time."""
    for name, line in rooms.imported(path):
        assert name != "time.sleep", f"{path}:{line}"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sleep":
            raise AssertionError(f"{path}:{node.lineno}")


def test_rooms_are_on_the_plan() -> None:
    """Every room has its layer and its purpose."""
    assert set(rooms.rooms()) <= set(rooms.PURPOSES)


def distributions(paths: Iterable[Path]) -> set[str]:
    """The distributions, in lower case, that modules import from; not the standard library's nor ours."""
    owners = packages_distributions()
    found: set[str] = set()
    for path in paths:
        for name, _line in rooms.imported(path):
            top = name.split(".", maxsplit=1)[0]
            if top not in sys.stdlib_module_names and top not in OURS:
                owned = ["zope.interface"] if name.startswith("zope.interface") else owners[top]
                found |= {one.lower().replace("_", "-") for one in owned} - {"alluxio-s3"}
    return found


def stated(distribution: str, extra: str = "") -> set[str]:
    """The requirements of a distribution, in lower case: those without an extra, or those of one."""
    listed = [one.replace("'", '"') for one in requires(distribution) or []]
    chosen = [one for one in listed if (f'extra == "{extra}"' in one if extra else "extra ==" not in one)]
    return {re.split(r"[^\w.-]", one)[0].lower() for one in chosen}


def test_requirements_are_what_is_imported() -> None:
    """setup.py requires what the package imports, what Twisted needs for TLS endpoints, and the project's HTTP client; nothing else."""
    imported = distributions(path for path in rooms.modules() if rooms.room_of(path) != "testing")
    assert imported | {"pyopenssl", "service-identity", "treq"} == stated("alluxio-s3")


def test_requirements_of_the_tests() -> None:
    """What the tests import is there after an installation with the extra ``dev``."""
    parts = [sorted((rooms.ROOT / part).rglob("*.py")) for part in ("tests", "tools", "benchmarks", "alluxio_s3")]
    # The scripts run in environments of their own.
    needed = distributions(path for part in parts for path in part if path.parent.name != "scripts")
    given = stated("alluxio-s3") | stated("alluxio-s3", "dev") | stated("boto3")
    assert needed <= given


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("configuration.md", print_configuration.page),
        ("actions.md", print_actions.page),
        ("metrics.md", print_metrics.page),
        ("redirects.md", print_redirects.page),
        ("architecture.svg", draw_architecture.picture),
    ],
    ids=["configuration", "actions", "metrics", "redirects", "architecture"],
)
def test_generated_pages_are_current(page: str, printed) -> None:
    """The pages that are printed from the code are those that are committed; `make docs` prints them again."""
    assert (DOCS / page).read_text() == printed()


@pytest.mark.parametrize("attribute", EVERY_PROPERTY)
def test_the_configuration_page_is_honest(attribute: str) -> None:
    """A property is marked as acted upon exactly when something outside of settings/ reads it."""
    readers = [path for path in rooms.modules() if rooms.room_of(path) != "settings"]
    used = any(re.search(rf"settings\.{attribute}\b", path.read_text()) for path in readers)
    assert EVERY_PROPERTY[attribute].acted_on is used
