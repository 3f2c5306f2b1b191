"""The options of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.settings import SettingsError
from alluxio_s3.settings.mount_options import (
    MASK,
    OPTIONS,
    Freshness,
    MountOptions,
    check_uri,
    is_secret,
    masked,
    split_options,
    without_secrets,
)

SECRETS = (
    "s3a.secretKey", "secretKey", "SECRET_KEY", "aws_secret_access_key", "secret", "client_secret", "password", "hdfs.passwd",
    "pwd", "token", "s3.sessionToken", "hdfs.delegation.token", "sas", "sas_token", "sasToken", "azure.sas", "accountKey",
    "account_key", "fs.azure.account.key", "private.key", "privateKey", "PRIVATE_KEY", "pkey", "passphrase", "api.key",
    "sse_customer_key", "connection_string", "credentials", "oss.accessKeySecret", "somebody.elses.new.token", "x-shared-key",
    "masterkey",
)  # fmt: skip
OPEN = (
    "s3a.accessKeyId", "aws_access_key_id", "alluxio.underfs.s3.endpoint", "alluxio.underfs.s3.region", "readonly", "cache",
    "freshness", "rate.limit", "private.key.file", "token.path", "secret.id", "user", "user.name", "sassafras", "monkey",
    "keyboard", "", ".", "key_type", "alluxio.underfs.s3.disable.dns.buckets", "folders", "durability", "token.provider",
)  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_secrets(name):
    """Known secrets and what looks like one are not shown."""
    assert is_secret(name)
    assert masked({name: "canary"}) == {name: MASK}
    assert without_secrets("a canary in canary://", {name: "canary"}) == f"a {MASK} in {MASK}://"


@pytest.mark.parametrize("name", OPEN)
def test_what_may_be_shown(name):
    """Places, users, ids and switches are shown."""
    assert not is_secret(name)
    assert masked({name: "value"}) == {name: "value"}


@given(st.dictionaries(st.sampled_from(SECRETS + OPEN) | st.text(), st.text(min_size=1)), st.text())
def test_no_secret_is_left(options, text):
    """No text has a secret of the options in it when they are taken out, whichever they are; what is shown of the options neither."""
    hidden = [value for name, value in options.items() if is_secret(name) and not set(value) <= set(MASK)]
    spoiled = text + "".join(hidden)
    cleaned = without_secrets(spoiled, options)
    assert all(len(value) < 4 or value not in cleaned for value in hidden)
    shown = masked(options)
    assert shown.keys() == options.keys()
    assert all(shown[name] == MASK for name in options if is_secret(name))


def test_they_are_documented():
    """The page on mounts tells each option of the daemon's."""
    page = (Path(__file__).parents[2] / "docs" / "mounts.md").read_text()
    assert all(f"| `{name}` | " in page for name in OPTIONS)


def test_defaults():
    """Without options a mount is writable, cached, always asked, unlimited, and deletes go through."""
    assert split_options({}) == (MountOptions(), {})
    assert split_options({}, MountOptions(delete_type="ALLUXIO_ONLY"))[0].delete_type == "ALLUXIO_ONLY"


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("readonly", "TRUE", "readonly", True),
        ("ReadOnly", "false", "readonly", False),
        ("cache", "Second_Touch", "cache", "second_touch"),
        ("freshness", "strong", "freshness", Freshness("strong")),
        ("freshness", "immutable", "freshness", Freshness("immutable")),
        ("freshness", "max_age=30", "freshness", Freshness("max_age", 30_000)),
        ("freshness", " MAX_AGE = 500ms ", "freshness", Freshness("max_age", 500)),
        ("stale.if.error", "1hr", "stale_if_error_ms", 3_600_000),
        ("negative.max.age", "10sec", "negative_ms", 10_000),
        ("rate.limit", "50", "rate_limit", 50 << 20),
        ("rate.limit", "0.5", "rate_limit", 1 << 19),
        ("rate.limit", "0", "rate_limit", 0),
        ("rate.limit", "0.0000001", None, None),
        ("deletetype", "alluxio_only", "delete_type", "ALLUXIO_ONLY"),
    ],
)
def test_the_daemons_own(name, value, field, expected):
    """Each option of the daemon's is read in Alluxio's notation, in any case, and is not the store's; the store's are left as they are."""
    if field is None:
        with pytest.raises(SettingsError):
            split_options({name: value})
        return
    own, rest = split_options({name: value, "s3a.accessKeyId": " id ", "Folders": "x"})
    assert getattr(own, field) == expected
    assert rest == {"s3a.accessKeyId": " id ", "Folders": "x"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("readonly", "yes"), ("cache", "sometimes"), ("freshness", "max_age"), ("freshness", "max_age=0"),
     ("freshness", "max_age=-1"), ("freshness", "strong=1"), ("freshness", ""),
     ("rate.limit", "-1"), ("rate.limit", "1e3"), ("rate.limit", "10MB"), ("rate.limit", "nan"),
     ("stale.if.error", "soon"), ("deletetype", "ALL")],
)  # fmt: skip
def test_what_is_wrong(name, value):
    """A wrong value is refused, with the option's name and what was expected."""
    with pytest.raises(SettingsError, match=f"option {name}: expected "):
        split_options({name: value})


@given(st.dictionaries(st.sampled_from(sorted(OPTIONS)) | st.text(), st.text()))
def test_splitting_is_total(options):
    """Any options are split, or refused with SettingsError; none is lost, and none is both the daemon's and the store's."""
    try:
        own, rest = split_options(options)
    except SettingsError:
        return
    assert own.rate_limit >= 0
    assert rest == {name: value for name, value in options.items() if name.strip().lower() not in OPTIONS}


@pytest.mark.parametrize(
    "uri",
    ["s3://bucket/prefix", "s3a://b", "file:///srv/data", "/srv/data", "hdfs://namenode:9000/user@realm/x", "fsspec+sftp://user@host:22/dir",
     "webhdfs://[::1]:9870/", "gs://b/a:b", "sqlite:///x?mode=ro", "abfs://container@account.dfs.core.windows.net/x"],
)  # fmt: skip
def test_uris(uri):
    """Where a store is."""
    check_uri(uri)


@pytest.mark.parametrize(
    "uri",
    ["", "relative", "s3://key:canary@bucket/", "s3://key:can/ary@bucket/", "sftp://u:@h", "https://a/b?sig=canary", "abfs://a/?sas_token=x",
     "ftp://u:1234x@h/", "s3://b/\n", "s3://[/canary"],
)  # fmt: skip
def test_what_is_no_uri(uri):
    """A URI that is none, or that holds a secret, is refused, and the secret is not repeated."""
    with pytest.raises(SettingsError) as refused:
        check_uri(uri)
    assert "canary" not in str(refused.value)


@given(st.text())
def test_checking_a_uri_is_total(uri):
    """Any text is one or is refused."""
    try:
        check_uri(uri)
    except SettingsError:
        assert True
