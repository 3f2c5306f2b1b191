from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alluxio_s3.settings import values
from alluxio_s3.settings.values import Kind


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0sec", 0),
        ("300ms", 300),
        ("300", 300),
        ("5min", 300_000),
        ("10SEC", 10_000),
        ("2hr", 7_200_000),
        ("7day", 604_800_000),
        ("1Hour", 3_600_000),
        (" 1s ", 1_000),
    ],
)
def test_durations(text: str, milliseconds: int) -> None:
    """Durations are written as in Alluxio: a whole number, a unit in any case, milliseconds if there is none."""
    assert values.duration().parse(text) == milliseconds


@pytest.mark.parametrize("text", ["", "-", "1.5s", "10 sec", "1fortnight", "-1", "s", "99999999999999999999", "9999999999999day"])
def test_not_durations(text: str) -> None:
    """What is not a duration, or is out of bounds, is refused with a description of what one looks like."""
    with pytest.raises(ValueError, match="a duration such as"):
        values.duration().parse(text)


def test_negative_durations_where_they_mean_something() -> None:
    """A kind with a lower minimum takes Alluxio's -1."""
    assert values.duration(minimum=-1).parse("-1") == -1


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("2KB", 2048), ("2k", 2048), ("5MB", 5 << 20), ("1.5GiB", 3 << 29), (".5kb", 512), ("3p", 3 << 50), ("7b", 7)],
)
def test_sizes(text: str, size: int) -> None:
    """Sizes have a decimal number and a unit in any case; every unit is a power of 1,024."""
    assert values.size().parse(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1 MB", "1xb", "1e9", "inf", "nan", "10000p", "9" * 30, "1..5k"])
def test_not_sizes(text: str) -> None:
    """What is not a size, or larger than any file can be, is refused."""
    with pytest.raises(ValueError, match="a size in bytes"):
        values.size().parse(text)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("TRUE", True), ("False", False)])
def test_booleans(text: str, value: bool) -> None:
    """Only true and false are booleans, in any case."""
    assert values.boolean().parse(text) is value


@pytest.mark.parametrize("text", ["", "yes", "1", "on", "truee"])
def test_not_booleans(text: str) -> None:
    """A misspelled boolean is an error, never a silent false."""
    with pytest.raises(ValueError, match="true or false"):
        values.boolean().parse(text)


def test_choices_and_names() -> None:
    """A choice is given back as it is documented, a name in lower case."""
    assert values.choice("full", "ALLUXIO_ONLY").parse("alluxio_only") == "ALLUXIO_ONLY"
    assert values.name().parse("SIMPLE") == "simple"
    with pytest.raises(ValueError, match="one of full, data"):
        values.choice("full", "data").parse("none")


def test_lists() -> None:
    """Lists are separated by commas; white space and empty pieces do not count."""
    assert values.many(values.size()).parse(" 1KB, 2KB,, ") == (1024, 2048)
    with pytest.raises(ValueError, match="comma-separated list, each a size"):
        values.many(values.size()).parse("1KB,x")


def test_nothing_is_none() -> None:
    """An empty path or optional text is None."""
    assert values.location().parse(" ") is None
    assert values.optional_text().parse("") is None
    assert values.text().parse("") == ""


KINDS = [
    values.duration(),
    values.size(),
    values.boolean(),
    values.integer(1, 9),
    values.port(),
    values.choice("a", "b"),
    values.name(),
    values.host(),
    values.text(),
    values.optional_text(),
    values.location(),
    values.many(values.port()),
]


@settings(max_examples=1000)
@given(kind=st.sampled_from(KINDS), text=st.one_of(st.text(max_size=40), st.from_regex(r"[-+0-9.]{0,25} ?[a-zA-Z]{0,6}")))
def test_parsers_are_total(kind: Kind[object], text: str) -> None:
    """Any text gives a value, or ValueError that says what was expected."""
    try:
        kind.parse(text)
    except ValueError as error:
        assert str(error) == kind.expected
