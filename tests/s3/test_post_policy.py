"""Policies of forms: read, and compared with what a form brings."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.post_policy import PostPolicy, parse_policy

UNTIL = "2026-01-02T03:04:05.678Z"
UNTIL_SECONDS = 1_767_323_045.678


def encoded(document: Any) -> str:
    text = document if isinstance(document, str) else json.dumps(document)
    return base64.b64encode(text.encode()).decode()


def policy(*conditions: Any) -> PostPolicy:
    return parse_policy(encoded({"expiration": UNTIL, "conditions": list(conditions)}))


def refusal(document: Any) -> str:
    with pytest.raises(S3Error) as caught:
        parse_policy(encoded(document))
    assert caught.value.code == "InvalidPolicyDocument"
    return caught.value.message.removeprefix("Invalid Policy: ")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "Invalid JSON."),
        ("{", "Invalid JSON."),
        ("[" * 15_000, "Invalid JSON."),
        ("[]", "Invalid JSON: it is no object."),
        ({}, "Policy missing expiration."),
        ({"conditions": []}, "Policy missing expiration."),
        ({"EXPIRATION": UNTIL, "conditions": []}, "Policy missing expiration."),
        ({"expiration": UNTIL}, "Policy missing conditions."),
        ({"expiration": UNTIL, "CONDITIONS": []}, "Policy missing conditions."),
        ({"expiration": UNTIL, "conditions": [], "more": 1}, "Unexpected: 'more'"),
        ({"expiration": UNTIL, "conditions": {}}, "Invalid 'conditions' value: it must be a List."),
        ({"expiration": "2026-01-02 03:04:05+00:00", "conditions": []}, "Invalid 'expiration' value: '2026-01-02 03:04:05+00:00'"),
        ({"expiration": "2026-13-02T03:04:05Z", "conditions": []}, "Invalid 'expiration' value: '2026-13-02T03:04:05Z'"),
        ({"expiration": 5, "conditions": []}, "Invalid 'expiration' value: '5'"),
    ],
)
def test_what_is_no_policy(document: Any, message: str) -> None:
    """A document that is no policy is refused, with the reason."""
    assert refusal(document) == message


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({}, "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified."),
        ({"a": "1", "b": "2"}, "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified."),
        ({"a": 1}, "Invalid Simple-Condition: value must be a string."),
        ("eq", "Invalid Condition: it must be an Object or a List of strings."),
        (["eq", "$a", 1], "Invalid Condition: it must be an Object or a List of strings."),
        ([], "Invalid Condition: unknown operation ''."),
        (["ends-with", "$a", "b"], "Invalid Condition: unknown operation 'ends-with'."),
        (["eq", "$a"], "Invalid eq Condition: wrong number of arguments."),
        (["starts-with", "$a", "b", "c"], "Invalid starts-with Condition: wrong number of arguments."),
        (["eq", "a", "b"], "Invalid eq Condition: the first argument must be a field's name after '$'."),
        (["eq", "$", "b"], "Invalid eq Condition: the first argument must be a field's name after '$'."),
        (["content-length-range", 0], "Invalid content-length-range Condition: wrong number of arguments."),
        (["content-length-range", -1, 0], "Invalid content-length-range Condition: the arguments must be numbers that are not negative."),
        (["content-length-range", True, 1], "Invalid content-length-range Condition: the arguments must be numbers that are not negative."),
        (["content-length-range", 0.5, 1], "Invalid content-length-range Condition: the arguments must be numbers that are not negative."),
        (["content-length-range", "a", 1], "Invalid content-length-range Condition: the arguments must be numbers that are not negative."),
        (["content-length-range", 2, 1], "Invalid content-length-range Condition: the least is more than the most."),
    ],
)
def test_what_is_no_condition(condition: Any, message: str) -> None:
    """A condition that makes no sense makes the policy none."""
    assert refusal({"expiration": UNTIL, "conditions": [condition]}) == message


@pytest.mark.parametrize("text", ["!", "a", base64.b64encode(b"{}").decode()[:-1], "é", base64.b64encode(b"\xff").decode()])
def test_what_is_not_base64(text: str) -> None:
    """What is not Base64 of UTF-8 is no policy."""
    with pytest.raises(S3Error, match="InvalidPolicyDocument"):
        parse_policy(text)


def failure(made: PostPolicy, fields: dict[str, str], now: float = 0) -> str:
    """Why ``fields`` are refused; empty if they are not."""
    try:
        made.check(fields, now)
    except S3Error as error:
        assert error.code == "AccessDenied"
        return error.message.removeprefix("Invalid according to Policy: ")
    return ""


def test_its_end() -> None:
    """A policy counts before its time is over, to the millisecond."""
    assert failure(policy(), {}, UNTIL_SECONDS - 0.001) == ""
    assert failure(policy(), {}, UNTIL_SECONDS) == "Policy expired."


@pytest.mark.parametrize(
    ("condition", "fields", "message"),
    [
        ({"bucket": "b"}, {"bucket": "b"}, ""),
        ({"bUcKeT": "b"}, {"bucket": "b"}, ""),
        ({"bucket": "b"}, {"bucket": "B"}, 'Policy Condition failed: ["eq", "$bucket", "b"]'),
        (["eq", "$key", "a"], {"key": "a"}, ""),
        (["EQ", "$KEY", "a"], {"key": "ab"}, 'Policy Condition failed: ["eq", "$key", "a"]'),
        (["starts-with", "$key", "a/"], {"key": "a/b"}, ""),
        (["StArTs-WiTh", "$KeY", ""], {"key": ""}, ""),
        (["starts-with", "$key", "a/"], {"key": "A/b"}, 'Policy Condition failed: ["starts-with", "$key", "a/"]'),
        (["starts-with", "$key", ""], {}, 'Policy Condition failed: ["starts-with", "$key", ""]'),
        (["starts-with", "$Content-Type", "image/"], {"content-type": "image/png, image/gif"}, ""),
        (
            ["starts-with", "$Content-Type", "image/"],
            {"content-type": "image/png,text/html"},
            'Policy Condition failed: ["starts-with", "$content-type", "image/"]',
        ),
        (["eq", "$acl", "private"], {"acl": "private", "x-amz-meta-a": "1"}, "Extra input fields: x-amz-meta-a"),
        (
            {"x-amz-meta-a": ""},
            {"x-amz-meta-a": "", "x-ignore-me": "1", "policy": "p", "x-amz-signature": "s", "file": "", "z": "", "b": ""},
            "Extra input fields: b, z",
        ),
        ({"a": "b"}, {"a": "b", "awsaccesskeyid": "k", "signature": "s", "policy": ""}, ""),
        ({"a": "b"}, {"a": "b", "awsaccesskeyid": "k", "x-amz-signature": "s"}, "Extra input fields: awsaccesskeyid"),
    ],
)
def test_fields_and_conditions(condition: Any, fields: dict[str, str], message: str) -> None:
    """Each condition must hold, and each field must have one, but for those that are free."""
    assert failure(policy(condition), fields) == message


def test_sizes() -> None:
    """The sizes are those that every range has; without one any that an object may have."""
    assert policy(["content-length-range", 1, 10]).sizes == range(1, 11)
    assert policy(["content-length-range", "1", "10"], ["Content-Length-Range", 5, 2**60]).sizes == range(5, 11)
    assert policy().sizes == range((5 << 40) + 1)


def test_escapes() -> None:
    r"""S3's own escapes, ``\$`` and ``\v``, are read, and those of JSON as ever."""
    text = r'{"expiration": "2026-01-02T03:04:05Z", "conditions": [["eq", "$key", "\$a\v\\$b\u0041\n"]]}'
    assert parse_policy(encoded(text)).conditions[0].value == "$a\x0b\\$bA\n"


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_text(text: bytes) -> None:
    """Whatever comes is a policy, or an S3Error."""
    for given_text in (text.decode("latin-1"), base64.b64encode(text).decode()):
        try:
            parse_policy(given_text)
        except S3Error as error:
            assert error.code == "InvalidPolicyDocument"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=4), max_leaves=6
)


@given(st.lists(values | st.dictionaries(st.text(max_size=4), values, max_size=2), max_size=3))
def test_any_conditions(conditions: list[Any]) -> None:
    """Whatever the conditions are, they make a policy, or an S3Error."""
    try:
        made = policy(*conditions)
    except S3Error as error:
        assert error.code == "InvalidPolicyDocument"
    else:
        failure(made, {"bucket": "b"})
