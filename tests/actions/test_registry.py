"""Which action a request asks for."""

from __future__ import annotations

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.actions.everything import MODULES, REGISTRY
from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.registry import BUCKET, OBJECT, SERVICE, Action, Registry, Route
from alluxio_s3.actions.unsupported import Unsupported, check_canned_acl
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.target import parse_target

MODEL = botocore.session.get_session().get_service_model("s3")
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
OFFERED = {route.name for route in REGISTRY.table().values() if route.offered}
# The actions that are promised.
PROMISED = {
    *("ListBuckets", "CreateBucket", "HeadBucket", "DeleteBucket", "GetBucketLocation", "GetBucketVersioning"),
    *("GetBucketTagging", "PutBucketTagging", "DeleteBucketTagging", "GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging"),
    *("ListObjects", "ListObjectsV2", "DeleteObjects", "GetObject", "HeadObject", "PutObject", "CopyObject", "DeleteObject"),
    *("GetObjectAttributes", "CreateMultipartUpload", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload"),
    *("GetBucketCors", "PutBucketCors", "DeleteBucketCors", "PostObject"),
    *("AssumeRoleWithWebIdentity", "AbortMultipartUpload", "ListParts", "ListMultipartUploads"),
}


# What other hosts of S3's answer, and what it looks like here.
ELSEWHERE = {("ListDirectoryBuckets", "ListBuckets"), ("WriteGetObjectResponse", "PostObject")}


class Nothing(Action):
    async def run(self, call: Call) -> Response:
        raise NotImplementedError


def head(method: str, target: str, headers: dict[str, str] | None = None) -> RequestHead:
    return RequestHead(method, parse_target(target.encode()), Headers(headers or {}))


def resolved(method: str, target: str, headers: dict[str, str] | None = None) -> str:
    return REGISTRY.resolve(head(method, target, headers)).route.name


def refused(method: str, target: str) -> S3Error:
    with pytest.raises(S3Error) as caught:
        REGISTRY.resolve(head(method, target))
    return caught.value


def example(operation: str) -> RequestHead:
    """The least request for an operation of S3's model."""
    model = MODEL.operation_model(operation)
    target = model.http["requestUri"].replace("{Bucket}", "b").replace("{Key+}", "k")
    headers = {}
    for name in model.input_shape.required_members if model.input_shape else ():
        shape = model.input_shape.members[name]
        if shape.serialization.get("location") == "querystring":
            target += f"{'&' if '?' in target else '?'}{shape.serialization['name']}=1"
        elif shape.serialization.get("location") == "header":
            headers[shape.serialization["name"]] = "1"
    return head(model.http["method"], target, headers)


@pytest.mark.parametrize("operation", MODEL.operation_names)
def test_every_operation_of_s3_is_known(operation):
    """Each operation in botocore's model of S3 is answered by the action of its name, or refused as not offered."""
    route = REGISTRY.resolve(example(operation)).route
    # Some are told from others by their host only.
    assert route.name == operation or not route.offered or (operation, route.name) in ELSEWHERE


def test_what_is_offered():
    """The actions that are promised are there, under their names, and no others."""
    assert OFFERED == PROMISED


def test_every_module_enters_actions():
    """Nothing in the list of modules with actions is there for nothing."""
    assert {type(one).__module__ for one in REGISTRY} == {module.__name__ for module in MODULES}


@given(
    st.sampled_from([*METHODS, "PATCH", "OPTIONS"]),
    st.sampled_from([route for route in REGISTRY.table().values() if route.method == "*" and route.query]),
    st.lists(st.sampled_from(["tagging", "uploads", "uploadId=1", "partNumber=1", "list-type=2", "x", "versionId=null", "delete"])),
)
def test_a_sub_resource_is_never_dropped(method, route, others):
    """A known sub-resource that is not offered is refused as that with any method, whatever else the query has."""
    (key,) = route.query
    target = f"{'/b/k' if route.on == OBJECT else '/b'}?{'&'.join([*others, key])}"
    assert not REGISTRY.resolve(head(method, target)).route.offered


@pytest.mark.parametrize(
    ("request_line", "headers", "name"),
    [
        ("GET /", {}, "ListBuckets"),
        ("GET /b", {}, "ListObjects"),
        ("GET /b?list-type=2", {}, "ListObjectsV2"),
        ("PUT /b/k", {}, "PutObject"),
        ("PUT /b/k", {"x-amz-copy-source": "/b/k"}, "CopyObject"),
        ("PUT /b/k?partNumber=1&uploadId=u", {}, "UploadPart"),
        ("PUT /b/k?uploadId=u&partNumber=1", {"X-Amz-Copy-Source": "/b/k"}, "UploadPartCopy"),
        ("POST /b/k?uploads=", {}, "CreateMultipartUpload"),
        ("POST /b/k?uploadId=u", {}, "CompleteMultipartUpload"),
        ("GET /b/k?uploadId=u&max-parts=1", {}, "ListParts"),
        ("GET /b/k?partNumber=1", {}, "GetObject"),
        ("DELETE /b/k?tagging=no", {}, "DeleteObjectTagging"),
        ("DELETE /b/k?uploadId=", {}, "AbortMultipartUpload"),
        ("PUT /b/k", {"x-amz-server-side-encryption": "AES256"}, "object with x-amz-server-side-encryption"),
        ("POST /b", {"content-type": "multipart/form-data; boundary=x"}, "PostObject"),
        ("PUT /b?versioning", {}, "PutBucketVersioning"),
        ("GET /b?versioning", {}, "GetBucketVersioning"),
    ],
)
def test_the_most_specific_action_wins(request_line, headers, name):
    """Query keys decide by their presence, then headers; an action that asks for more goes first."""
    assert resolved(*request_line.split(), headers) == name


@pytest.mark.parametrize(
    "query",
    [
        "x-id=GetObject",
        "X-Amz-Signature=1&X-Amz-Expires=2",
        "AWSAccessKeyId=a&Signature=s&Expires=1&content-type=t",
        "x-anything",
        "versionId=null",
    ],
)
def test_harmless_query_keys(query):
    """Keys of authentication and those that begin with ``x-`` don't change the action; ``null`` is the version that there is."""
    assert resolved("GET", f"/b/k?{query}") == "GetObject"


@pytest.mark.parametrize(
    "request_line", ["DELETE /b/k?tagg1ng", "PUT /b/k?uploadId=u", "GET /b?versionId=null", "GET /?k", "PUT /b/k?content-type=t"]
)
def test_an_unknown_query_key_is_refused(request_line):
    """What is not understood is refused and named, since to ignore it could change what is meant."""
    error = refused(*request_line.split())
    assert (error.code, error.details["ArgumentName"]) == ("InvalidArgument", request_line.partition("?")[2].partition("=")[0])


@pytest.mark.parametrize("query", ["versionId=3sL4kqtJ", "versionId=", "versionId=null&versionId=1"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_other_versions_are_refused(method, query):
    """A version other than ``null`` is an InvalidArgument that says so: never the object that is there."""
    error = refused(method, f"/b/k?{query}")
    assert (error.code, error.details["ArgumentName"]) == ("InvalidArgument", "versionId")


@pytest.mark.parametrize(
    ("request_line", "allow"),
    [
        ("PUT /b?location", "GET"),
        ("DELETE /b?uploads", "GET"),
        ("GET /b/k?uploads", "POST"),
        ("PATCH /b/k", "DELETE, GET, HEAD, PUT"),
        ("DELETE /", "GET, POST"),
    ],
)
def test_method_not_allowed(request_line, allow):
    """A sub-resource or a resource with a method that it hasn't is 405, with the methods that it has."""
    error = refused(*request_line.split())
    assert (error.code, error.headers["Allow"]) == ("MethodNotAllowed", allow)


def test_two_actions_for_one_request():
    """Actions that could not be told apart, or have one name, fail when they are entered."""
    registry = Registry()
    registry.action("One", method="GET", on=SERVICE, query={"q"})(type("One", (Nothing,), {}))
    with pytest.raises(ValueError, match="Two and One answer to the same request"):
        registry.action("Two", method="GET", on=SERVICE, query={"q"}, accepts={"more"})(type("Two", (Nothing,), {}))
    with pytest.raises(ValueError, match="there are two actions One"):
        registry.action("One", method="GET", on=BUCKET)(type("One", (Nothing,), {}))
    assert [one.route.name for one in registry] == ["One"]


@pytest.mark.parametrize(("query", "headers"), [({"acl"}, ()), ((), {"x-amz-grant-read"})])
def test_two_refusals_of_one_request(query, headers):
    """What is not offered is entered once for each request, too."""
    registry = Registry()

    def refusal(name: str) -> Route:
        return Route(name, "*", BUCKET, frozenset(query), frozenset(headers), frozenset(), "", offered=False)

    registry.add(Unsupported(refusal("One")))
    with pytest.raises(ValueError, match="Two and One answer to the same request"):
        registry.add(Unsupported(refusal("Two")))


@pytest.mark.parametrize("acl", ["private", "bucket-owner-full-control"])
def test_owner_only_acls(acl):
    """A canned access list that gives all to the owner is how it is anyway."""
    check_canned_acl(Headers({"x-amz-acl": acl}))


@pytest.mark.parametrize("acl", ["public-read", "authenticated-read", ""])
def test_other_acls(acl):
    """Any other one would be dropped: 501."""
    with pytest.raises(S3Error, match="NotImplemented"):
        check_canned_acl(Headers({"x-amz-acl": acl}))
