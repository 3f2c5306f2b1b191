"""What a mount on fsspec can be told, and what it says when that is wrong."""

from __future__ import annotations

import pytest

from alluxio_s3.ufs.fsspec_store.options import parse_options, typed


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_concurrency", "8", 8),
        ("connect_timeout", "2.5", 2.5),
        ("anon", "true", True),
        ("anon", "False", False),
        ("endpoint_url", "http://here:1", "http://here:1"),
        ("token", '{"a": 1}', {"a": 1}),
        ("password", "12345", "12345"),
        ("password", '"quoted"', "quoted"),
        ("version", "007", "007"),
        ("broken", "{", "{"),
        ("location", "null", None),
    ],
)
def test_values(name, text, value):
    """Numbers, booleans and JSON become what they are; a password stays text."""
    assert typed(name, text) == value
    assert type(typed(name, text)) is type(value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"uri": "fsspec://x"}, r"fsspec\+PROTOCOL"),
        ({"uri": "fsspec+nosuch://x"}, "no protocol 'nosuch'"),
        ({"uri": "fsspec+smb://host/share"}, "pip install smbprotocol"),
        ({"uri": "fsspec+file:///tmp", "buckets": "perhaps"}, "buckets"),
        ({"uri": "fsspec+file:///tmp", "fsspec.timeout": "0"}, "fsspec.timeout"),
        ({"uri": "fsspec+file:///tmp", "fsspec.layout": "x"}, "fsspec.layout"),
    ],
)
def test_wrong_options(options, told):
    """A wrong option, or a library that is missing, is a ValueError that says what to do."""
    with pytest.raises(ValueError, match=told):
        parse_options(options)


def test_what_is_passed_on():
    """The store's own options are its filesystem's, the daemon's are not; the identity holds no secret."""
    options = parse_options({"uri": "fsspec+memory://a/b", "buckets": "true", "fsspec.retries": "0", "host": "h", "password": "hidden"})
    assert (options.root, options.buckets, options.retries, options.layout) == ("/a/b", True, 0, "objects")
    assert options.given == {"host": "h", "password": "hidden"}
    assert options.identity == "fsspec+memory:///a/b?host=h"
    assert "hidden" not in repr(options)
