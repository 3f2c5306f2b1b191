"""What an S3 under-store is told, and what it makes of it before it asks the store anything."""

from __future__ import annotations

import logging

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor

from alluxio_s3.storage import Attributes, Unavailable
from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.ufs.s3.attributes import attributes_of, object_headers
from alluxio_s3.ufs.s3.documents import page_of, parts_of, tags_in, uploads_of
from alluxio_s3.ufs.s3.filesystem import S3Factory
from alluxio_s3.ufs.s3.options import read_options
from alluxio_s3.ufs.s3.signing import Keyring, Signer

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
GIVEN = {"uri": "s3://bucket/some/prefix/", "s3a.accessKeyId": "AKIAIOSFODNN7EXAMPLE", "s3a.secretKey": SECRET}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"alluxio.underfs.s3.endpont": "x"}, "did you mean 'alluxio.underfs.s3.endpoint'"),
        ({"s3a.accessKeyID": "x"}, "did you mean 's3a.accessKeyId'"),
        ({"zzz": "x"}, "there is no option 'zzz'"),
        ({"uri": "s3://"}, "uri"),
        ({"uri": "http://bucket"}, "uri"),
        ({"uri": "s3://bucket/a//b"}, "empty"),
        ({"uri": "s3://bucket/../b"}, "segments"),
        ({"alluxio.underfs.s3.endpoint": "ftp://host"}, "URL"),
        ({"alluxio.underfs.s3.endpoint": "http://host/path"}, "URL"),
        ({"alluxio.underfs.s3.endpoint": "http://user:pass@host"}, "URL"),
        ({"alluxio.underfs.s3.endpoint": "http://host:99999"}, "URL"),
        ({"alluxio.underfs.s3.disable.dns.buckets": "maybe"}, "true or false"),
        ({"alluxio.underfs.s3.threads.max": "0"}, "number"),
        ({"alluxio.underfs.s3.socket.timeout": "soon"}, "duration"),
        ({"s3a.secretKey": ""}, "go together"),
    ],
)
def test_wrong_options(wrong, message):
    """An option that is unknown or wrong is refused with what to do about it, and never with a secret."""
    with pytest.raises(ValueError, match=message) as caught:
        S3Factory().build({**GIVEN, **wrong}, reactor, None)
    assert SECRET not in str(caught.value)


def test_identity():
    """Two mounts of one place are one store, whoever's keys they use; other endpoints, buckets and prefixes are others."""
    same = {**GIVEN, "uri": "s3a://bucket/some/prefix", "s3a.secretKey": "other"}
    assert read_options(GIVEN).identity == read_options(same).identity
    others = [{"uri": "s3://bucket"}, {"uri": "s3://other/some/prefix"}, {"alluxio.underfs.s3.endpoint": "http://host"}]
    assert len({read_options({**GIVEN, **other}).identity for other in [{}, *others]}) == 4


def test_styles_of_addresses():
    """A bucket is part of the host's name at AWS, if its name can be; of the path where an endpoint is given, if nothing else is said."""
    assert not read_options(GIVEN).path_style
    assert read_options({**GIVEN, "uri": "s3://my.bucket"}).path_style
    endpoint = {**GIVEN, "alluxio.underfs.s3.endpoint": "host:9000"}
    assert read_options(endpoint).path_style
    assert read_options(endpoint).endpoint == "https://host:9000"
    assert not read_options({**endpoint, "alluxio.underfs.s3.disable.dns.buckets": "false"}).path_style


def test_secrets_are_not_shown():
    """Options that are printed have no secret in them, and signing logs none."""
    options = read_options({**GIVEN, "s3.sessionToken": "token-of-ours"})
    assert SECRET not in repr(options)
    assert "token-of-ours" not in repr(options)
    assert SECRET not in options.identity


@in_reactor
async def test_signatures(threads, caplog):
    """Requests are signed as botocore signs them, with the token of a session, and the secret stays here."""
    caplog.set_level(logging.DEBUG)
    keyring = Keyring(read_options({**GIVEN, "s3.sessionToken": "token", "alluxio.underfs.s3.region": "eu-west-1"}), threads, reactor)
    signer = await keyring.signer()
    assert isinstance(signer, Signer)
    headers = signer.sign("GET", "https://host/bucket/a%20b?x=1", {"Host": "host"}, "UNSIGNED-PAYLOAD")
    assert headers["X-Amz-Security-Token"] == "token"
    assert "/eu-west-1/s3/aws4_request" in headers["Authorization"]
    assert SECRET not in str(headers)
    assert SECRET not in caplog.text


@in_reactor
async def test_the_chain_of_credentials(threads, monkeypatch, tmp_path):
    """Without keys of its own the under-store takes those that botocore finds, region and all."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = FOUND\naws_secret_access_key = hidden\n")
    (tmp_path / "config").write_text("[default]\nregion = ap-south-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    keyring = Keyring(read_options({"uri": "s3://bucket"}), threads, reactor)
    signed = (await keyring.signer()).sign("GET", "https://host/", {}, "UNSIGNED-PAYLOAD")
    assert "Credential=FOUND/" in signed["Authorization"]
    assert "/ap-south-1/" in signed["Authorization"]


@given(
    st.dictionaries(st.sampled_from(["a", "b-c", "long.name"]), st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40)),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40),
)
def test_any_text_can_be_metadata(user, disposition):
    """Metadata of any characters goes over the wire as ASCII, as AWS has it (RFC 2047), and comes back as it was."""
    attributes = Attributes(user_metadata=user, headers={"content-disposition": disposition}, content_type="text/plain")
    headers = object_headers(attributes)
    assert all(value.isascii() for value in headers.values())
    back = attributes_of({name.lower(): value for name, value in headers.items()})
    assert evolve(back, user_metadata=dict(back.user_metadata), headers=dict(back.headers)) == attributes


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: f"<ListBucketResult>{text}</ListBucketResult>".encode()))
def test_any_answer_is_read_or_unavailable(body):
    """Whatever a store answers is read, or Unavailable: never another error."""
    for reads in (page_of, uploads_of, parts_of, tags_in):
        try:
            reads(body)
        except Unavailable:
            continue


@pytest.mark.parametrize(
    "contents",
    [
        "<Contents><Key>a</Key></Contents>",
        "<Contents><Key>a</Key><Size>-1</Size><ETag>x</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>",
        "<Contents><Key>a</Key><Size>1</Size><ETag>x</ETag><LastModified>2026-13-01T00:00:00Z</LastModified></Contents>",
        "<Contents><Key>a</Key><Key>b</Key></Contents>",
        "<IsTruncated>true</IsTruncated>",
    ],
)
def test_half_an_answer(contents):
    """A listing that lacks what it must have is Unavailable, not half a listing."""
    with pytest.raises(Unavailable):
        page_of(f"<ListBucketResult>{contents}</ListBucketResult>".encode())
