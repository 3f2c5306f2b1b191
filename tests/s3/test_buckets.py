"""Names of new buckets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.s3.buckets import check_new_bucket_name
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.target import parse_bucket


def accepted(name: str, *, restricted: bool) -> bool:
    try:
        check_new_bucket_name(name, restricted=restricted)
    except S3Error as error:
        assert (error.code, error.status, error.details) == ("InvalidBucketName", 400, {"BucketName": name})
        return False
    return True


@pytest.mark.parametrize("name", ["abc", "a-b", "a.b", "1.2.3", "0ab", "a" * 63, "log-delivery-2012.example", "a--b", "a-.b", "1.2.3.4a"])
def test_good_names(name: str) -> None:
    """Names by S3's rules are taken either way."""
    assert accepted(name, restricted=True)
    assert accepted(name, restricted=False)


@pytest.mark.parametrize(
    "name",
    ["ab", "a" * 64, "Abc", "a_b", "-ab", "ab-", "ab.", "a..b", "192.168.5.4", "0.0.0.0", "xn--abc", "sthree-abc", "amzn-s3-demo-abc",
     "abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--x-s3", "abc--table-s3", "sub:dir:b", "DocExampleBucket"],
)  # fmt: skip
def test_names_beyond_s3(name: str) -> None:
    """Names that only S3's rules object to are refused when those are on."""
    assert not accepted(name, restricted=True)
    assert accepted(name, restricted=False) == (name != "")


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a b", "a/b", "a\\b", "a\n", "é", "a?b", "a\0b", "a" * 256, "a%2e"])
def test_unsafe_names(name: str) -> None:
    """Names that no store should get are refused in any case."""
    assert not accepted(name, restricted=True)
    assert not accepted(name, restricted=False)


@given(st.text() | st.text("abz09.-_:A", max_size=70))
def test_total(name: str) -> None:
    """Any name is taken or InvalidBucketName; a restricted name is an unrestricted one, and one that requests can use."""
    if accepted(name, restricted=True):
        assert accepted(name, restricted=False)
        assert 3 <= len(name) <= 63
    if accepted(name, restricted=False):
        assert parse_bucket(name) == name
