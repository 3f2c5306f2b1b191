"""What the options of an HDFS mount mean, and what its refusals mean, without a server."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.interfaces import IUnderFileSystem
from alluxio_s3.plugins import PluginError, build_plugin
from alluxio_s3.storage import NoSpace, NoSuchPath, PathConflict, PermissionRefused, StorageError, Unavailable
from alluxio_s3.ufs.webhdfs.place import parse_place
from alluxio_s3.ufs.webhdfs.refusals import NoExtendedAttributes, Standby, refusal


def place(uri, **options):
    return parse_place({"uri": uri, **{name.replace("_", "."): value for name, value in options.items()}})


@pytest.mark.parametrize(
    ("uri", "options", "namenodes", "root"),
    [
        ("webhdfs://nn/", {}, ("http://nn:9870",), ""),
        ("webhdfs://nn:50070/a/b/", {}, ("http://nn:50070",), "/a/b"),
        ("swebhdfs://nn/a", {}, ("https://nn:9871",), "/a"),
        ("HDFS://nn:8020/a", {}, ("http://nn:9870",), "/a"),
        ("hdfs://nn:8020/a", {"http_port": "50070"}, ("http://nn:50070",), "/a"),
        ("hdfs://cluster/a%20b", {"namenodes": "n1:50070,n2:50070"}, ("http://n1:50070", "http://n2:50070"), "/a b"),
        ("webhdfs://n1:1,[::1]:2/", {}, ("http://n1:1", "http://[::1]:2"), ""),
        ("webhdfs://bob@nn/", {}, ("http://nn:9870",), ""),
    ],
)
def test_places(uri, options, namenodes, root):
    """A URI and its options name NameNodes and a directory; the port of hdfs:// is not the one of HTTP."""
    found = place(uri, **options)
    assert (found.namenodes, found.root) == (namenodes, root)


def test_users(tmp_path):
    """The user is the option's, or the URI's, or the daemon's own; a token may be in a file."""
    assert place("webhdfs://nn/", user="alice").user == "alice"
    assert place("webhdfs://bob@nn/").user == "bob"
    assert place("webhdfs://bob@nn/", alluxio_security_login_username="carol").user == "carol"
    assert place("webhdfs://nn/").user
    file = tmp_path / "token"
    file.write_text("SECRET\n")
    assert place("webhdfs://nn/", delegation_token_file=str(file)).token == "SECRET"


@pytest.mark.parametrize(
    ("uri", "options"),
    [
        ("webhdfs://", {}),
        ("http://nn/", {}),
        ("webhdfs://nn:port/", {}),
        ("webhdfs://nn:99999/", {}),
        ("webhdfs://a:b@nn/", {}),
        ("webhdfs://nn/a/../b", {}),
        ("webhdfs://nn/", {"timeout": "soon"}),
        ("webhdfs://nn/", {"timeout": "0"}),
        ("webhdfs://nn/", {"retries": "-1"}),
        ("webhdfs://nn/", {"usr": "alice"}),
        ("webhdfs://nn/", {"delegation_token_file": "/nowhere"}),
    ],
)
def test_wrong_options(uri, options):
    """What can't be meant is an error at start, for the operator."""
    with pytest.raises(ValueError, match=r"uri|option|token"):
        place(uri, **options)


def test_entry_points():
    """The three schemes are plugins of this distribution."""
    for name in ("hdfs", "webhdfs", "swebhdfs"):
        with pytest.raises(PluginError, match="there is no option 'usr'"):
            build_plugin("alluxio_s3.ufs", name, IUnderFileSystem, {"uri": f"{name}://nn/", "usr": ""}, None, None)


def test_paths_and_identity():
    """Any key is one path in a URL; the identity holds no credentials."""
    found = place("webhdfs://alice@nn:1/a b", delegation_token="SECRET")
    assert found.url_path("é/%41+?\n") == "/webhdfs/v1/a%20b/%C3%A9/%2541%2B%3F%0A"
    assert found.absolute("x/") == "/a b/x"
    assert found.identity == "webhdfs://nn:1/a b"
    assert "SECRET" not in repr(found)


@pytest.mark.parametrize(
    ("code", "exception", "message", "kind"),
    [
        (404, "FileNotFoundException", "File does not exist", NoSuchPath),
        (403, "AccessControlException", "Permission denied", PermissionRefused),
        (403, "AccessControlException", "Permission denied: /a is not a directory", PathConflict),
        (403, "StandbyException", "Operation category READ is not supported", Standby),
        (403, "SafeModeException", "Cannot create file", Unavailable),
        (403, "RetriableException", "Name node is in safe mode", Unavailable),
        (403, "DSQuotaExceededException", "", NoSpace),
        (403, "NSQuotaExceededException", "", NoSpace),
        (403, "IOException", "by setting dfs.namenode.xattrs.enabled to false", NoExtendedAttributes),
        (403, "IOException", "Failed to find datanode", Unavailable),
        (500, "NullPointerException", "", Unavailable),
    ],
)
def test_refusals(code, exception, message, kind):
    """Each of Hadoop's exceptions is the error that fits, and its message stays out of ours."""
    body = json.dumps({"RemoteException": {"exception": exception, "message": f"{message} SECRET"}}).encode()
    found = refusal("a", code, body)
    assert type(found) is kind
    assert "SECRET" not in str(found)


@given(st.integers(100, 599), st.binary() | st.text(string.printable).map(str.encode))
def test_any_answer_is_an_error(code, body):
    """Whatever an answer holds, it is a StorageError, never another exception."""
    assert isinstance(refusal("a", code, body), StorageError)
