from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.settings import SettingsError
from alluxio_s3.settings.source import FILE_NAME, Entry, Texts, find, parse, parse_override


def entries(text: str) -> dict[str, str]:
    return {entry.name: entry.value for entry in parse(text.encode(), "f")}


def test_java_properties_syntax() -> None:
    """Continuation lines, escapes, both separators and both comment signs are understood, and lines counted."""
    text = "# c\n! c\na=1\r\nb : two\\\n   words\n\n\nc\\ d=\\u0041\ne\n"
    assert [(entry.name, entry.value, entry.line) for entry in parse(text.encode(), "f")] == [
        ("a", "1", 3),
        ("b", "twowords", 4),
        ("c d", "A", 8),
        ("e", "", 9),
    ]


def test_encodings() -> None:
    """UTF-8 is read as such, with or without a mark; anything else as Java reads it, Latin-1."""
    assert parse("a=é".encode(), "f")[0].value == "é"
    assert parse("\ufeffa=é".encode(), "f")[0].name == "a"
    assert parse(b"a=\xe9", "f")[0].value == "é"


def test_malformed_escape_names_its_line() -> None:
    """A broken unicode escape is an error with its line."""
    with pytest.raises(SettingsError, match=r"^f:2: malformed escape"):
        parse(b"a=1\nb=\\u12\n", "f")


@given(st.binary(max_size=200))
def test_parsing_is_total(raw: bytes) -> None:
    """Any bytes are entries, or SettingsError."""
    try:
        for entry in parse(raw, "f"):
            assert entry.line >= 1
    except SettingsError:
        pass


def test_first_of_alluxios_places(tmp_path: Path) -> None:
    """Without --config the first of the four places that has the file is taken."""
    environ = {"ALLUXIO_CONF_DIR": str(tmp_path / "env"), "HOME": str(tmp_path / "home")}
    places = [tmp_path / "env", tmp_path / "cwd" / "conf", tmp_path / "home" / ".alluxio"]
    for place in reversed(places):
        place.mkdir(parents=True)
        (place / FILE_NAME).write_text("")
        assert find(None, environ, str(tmp_path / "cwd")) == str(place / FILE_NAME)


def test_named_file_must_be_there(tmp_path: Path) -> None:
    """A file that was asked for is read, seen from the working directory, or its absence is an error."""
    (tmp_path / "my.properties").write_text("")
    assert find("my.properties", {}, str(tmp_path)) == str(tmp_path / "my.properties")
    assert find("~/my.properties", {"HOME": str(tmp_path)}, "/") == str(tmp_path / "my.properties")
    with pytest.raises(SettingsError, match="no such file"):
        find("other.properties", {}, str(tmp_path))


def test_overrides() -> None:
    """-o takes name=value; the value may hold '='."""
    assert parse_override("a = b=c") == Entry("a", "b=c", "-o", 0)
    for argument in ("a", "=b", ""):
        with pytest.raises(SettingsError, match="expected name=value"):
            parse_override(argument)


def texts(*pairs: tuple[str, str]) -> Texts:
    return Texts([[Entry(name, value, "f", line) for line, (name, value) in enumerate(pairs, 1)]], {})


def expanded(found: Texts, name: str) -> str:
    entry = found.find((name,))
    assert entry is not None
    return found.expand(entry)


def test_references() -> None:
    """${name} is replaced by that property's value, whose own references are replaced too."""
    assert expanded(texts(("a", "<${b}-${c}>"), ("b", "1${c}"), ("c", "2")), "a") == "<12-2>"


def test_reference_cycles() -> None:
    """A cycle is an error that shows the way round, at the line of the property that was asked for."""
    with pytest.raises(SettingsError, match=r"^f:1: a: .* a -> b -> a$"):
        expanded(texts(("a", "${b}"), ("b", "${a}")), "a")


def test_unknown_references() -> None:
    """A reference to nothing is an error."""
    with pytest.raises(SettingsError, match="no property 'b'"):
        expanded(texts(("a", "${b}")), "a")


def test_references_are_bounded() -> None:
    """Neither doubling nor depth can make a small file expensive."""
    doubling = texts(("a0", "x"), *((f"a{i + 1}", f"${{a{i}}}${{a{i}}}") for i in range(30)))
    with pytest.raises(SettingsError, match="longer than"):
        expanded(doubling, "a30")
    empty = texts(("a0", ""), *((f"a{i + 1}", f"${{a{i}}}" * 2) for i in range(30)))
    assert expanded(empty, "a30") == ""
    deep = texts(("a0", "x"), *((f"a{i + 1}", f"${{a{i}}}") for i in range(5000)))
    with pytest.raises(SettingsError, match="deep"):
        expanded(deep, "a5000")
