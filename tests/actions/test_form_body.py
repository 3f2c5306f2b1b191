"""The body of a form, in whatever pieces it comes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import pytest_twisted
from hypothesis import given, settings
from hypothesis import strategies as st

from alluxio_s3.actions.form_body import FormBody
from alluxio_s3.s3.errors import S3Error
from tests.actions.conftest import Body

BOUNDARY = "b0undary"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


async def read(pieces: Sequence[bytes]) -> tuple[dict[str, str], str, bytes]:
    """Fields, the file's name, and the file."""
    form = FormBody(Body([one for one in pieces if one], None), TYPE)
    fields = await form.fields()
    found = []
    while data := await form.read():
        found.append(data)
    return fields, form.filename, b"".join(found)


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    """``data`` in pieces."""
    places = sorted({min(one, len(data)) for one in at})
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]


def run(pieces: Sequence[bytes]) -> tuple[dict[str, str], str, bytes] | str:
    """What is read of them, or the code of the error; nothing has to be waited for."""
    try:
        read(pieces).send(None)
    except StopIteration as done:
        found: tuple[dict[str, str], str, bytes] = done.value
        return found
    except S3Error as error:
        return error.code
    raise AssertionError("it waits for something")


# Such as make a parser stumble: beginnings of boundaries and of line ends.
pieces = st.lists(
    st.one_of(
        st.binary(max_size=20), st.sampled_from([b"\r\n", b"\r", b"\n--", b"\r\n--", f"\r\n--{BOUNDARY}"[:-1].encode(), BOUNDARY.encode()])
    ),
    max_size=8,
).map(b"".join)


@settings(max_examples=200)
@given(pieces, st.lists(st.integers(0, 400), max_size=12))
def test_any_file_in_any_pieces(file: bytes, at: list[int]) -> None:
    """However a form is cut, its fields are what was sent, and its file is that, byte for byte."""
    if f"\r\n--{BOUNDARY}".encode() in b"\r\n" + file:
        return
    whole = part("key", b"k") + part("Content-Type", b"text/x") + part("file", file, '; filename="f.txt"') + END
    assert run(cut(whole, at)) == ({"key": "k", "content-type": "text/x"}, "f.txt", file)


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=300), pieces.map(lambda one: part("key", b"k") + one)), st.lists(st.integers(0, 300), max_size=6))
def test_any_bytes(data: bytes, at: list[int]) -> None:
    """Whatever comes is a form, or refused as none; how it is cut makes no difference."""
    found = run([data])
    assert isinstance(found, tuple) or found in ("MalformedPOSTRequest", "InvalidArgument", "MaxPostPreDataLengthExceeded")
    again = run(cut(data, at))
    assert again == found or (isinstance(again, str) and isinstance(found, str))


@pytest.mark.parametrize("end", range(1, 12))
def test_a_form_that_does_not_end(end: int) -> None:
    """A form without its last bytes is none, however few are missing: nothing of it may be kept."""
    whole = part("key", b"k") + part("file", b"bytes") + END.removesuffix(b"\r\n")
    assert run([whole[:-end]]) == "MalformedPOSTRequest"


@pytest_twisted.ensureDeferred
async def test_a_file_flows() -> None:
    """The file is given as it comes: no more of the body is read than is asked for."""
    body = Body([part("key", b"k") + part("file", b"one")[:-2], b"two", b"three\r\n" + END, b""], None)
    form = FormBody(body, TYPE)
    assert await form.fields() == {"key": "k"}
    assert body.reads == 1
    assert await form.read() == b"one"
    assert body.reads == 1
    assert await form.read() == b"two"
    assert body.reads == 2
    assert await form.read() == b"three"
    assert await form.read() == b""
    assert body.reads == 4


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        (None, "PreconditionFailed"),
        ("text/plain", "PreconditionFailed"),
        ("multipart/mixed; boundary=a", "PreconditionFailed"),
        ("multipart/form-data", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=" + "a" * 71, "MalformedPOSTRequest"),
        ('multipart/form-data; boundary="a "', "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=é", "MalformedPOSTRequest"),
    ],
)
def test_what_is_no_form(content_type: str | None, code: str) -> None:
    """What does not say that it is a form, with a boundary that can be one, is refused before anything is read."""
    body = Body([END], None)
    with pytest.raises(S3Error) as caught:
        FormBody(body, content_type)
    assert caught.value.code == code
    assert not body.reads
