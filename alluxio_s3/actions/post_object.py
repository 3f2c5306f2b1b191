"""PostObject: a form that a browser sends to a bucket, with a policy that somebody signed who may write there.

"POST Object" and "Creating an HTML form" in the S3 API reference. The file flows as the body of a PutObject does; nothing is stored before
the form has ended as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote, urlsplit

from attrs import evolve

from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.form_body import FormBody
from alluxio_s3.actions.object_write import ANY_SIZE, payload_of, requested_attributes, store
from alluxio_s3.actions.registry import BUCKET, Action, Need, action
from alluxio_s3.actions.unsupported import HEADERS_ON_OBJECTS
from alluxio_s3.interfaces import IFormAuthenticator, IPrincipal
from alluxio_s3.s3.cors import answer_headers
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.form_credentials import SignedForm, find_form_credentials, missing_field
from alluxio_s3.s3.post_policy import parse_policy
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.tagging import check_tags, parse_tagging_document
from alluxio_s3.s3.target import Target, parse_key
from alluxio_s3.s3.xml import document, tag

_FILENAME = "${filename}"
# The fields that are what a header of a PUT is.
_AS_HEADERS = frozenset(
    {"cache-control", "content-disposition", "content-encoding", "content-language", "content-md5", "content-type", "expires",
     "x-amz-acl", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm", "x-amz-storage-class"}
)  # fmt: skip
_PREFIXES = ("x-amz-meta-", "x-amz-checksum-")
_OF_CREDENTIALS = frozenset({"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-security-token", "x-amz-signature"})
_IN_QUERY = frozenset({"awsaccesskeyid", "signature", "expires"})


@action("PostObject", method="POST", on=BUCKET, permission="s3:PutObject")
class PostObject(Action):
    """Stores the file of a form as an object. The form says who sends it, under which key, and by which policy."""

    def needs(self, head: RequestHead) -> Iterator[Need]:
        """Nothing yet: the form says who asks, and for which key."""
        del head
        return iter(())

    async def run(self, call: Call) -> Response:
        """Raises S3Error: what ``FormBody``, ``find_form_credentials`` and ``PostPolicy`` raise, AccessForbidden, and as PutObject."""
        _check_head(call.head)
        form = FormBody(call.body, call.headers.get("content-type"))
        fields = await form.fields()
        signed = find_form_credentials(fields)
        principal = call.principal
        if signed is not None:
            principal = await _sender(call, signed)
            call.became(principal.name, "")
        if principal.how in ("simple", "anonymous"):
            await _check_origin(call)
        if not fields.get("key"):
            raise missing_field("key")
        key = fields["key"] = fields["key"].replace(_FILENAME, form.filename)
        sizes = ANY_SIZE
        if signed is not None:
            policy = parse_policy(signed.policy)
            policy.check({**fields, "bucket": _bucket(call, fields)}, call.services.wall.seconds())
            sizes = policy.sizes
        call.became(principal.name, parse_key(key))
        head = RequestHead("POST", Target(call.bucket, key), _headers(fields), call.head.raw_target, call.head.secure, call.head.peer)
        writing = evolve(call, head=head, principal=principal, body=form)
        tags = parse_tagging_document(fields["tagging"].encode()) if fields.get("tagging") else {}
        check_tags(tags, restricted=call.services.limits.tagging_restrictions)
        await writing.authorize("s3:PutObject", call.bucket, key)
        if tags:
            await writing.authorize("s3:PutObjectTagging", call.bucket, key)
        attributes = evolve(requested_attributes(writing), tags=tags)
        return _answer(call, key, fields, await store(writing, payload_of(writing), attributes, sizes=sizes))


async def _sender(call: Call, signed: SignedForm) -> IPrincipal:
    authenticator = IFormAuthenticator(call.authenticator, None)
    if authenticator is None:
        raise S3Error("NotImplemented", "Forms are not authenticated here.")
    return await authenticator.authenticate_form(signed)


def _check_head(head: RequestHead) -> None:
    """A form brings its own credentials, and its fields are what others have headers for: nobody may add any on the way."""
    query = any(name.lower() in _IN_QUERY or name.lower().startswith("x-amz-") for name in head.target.query)
    if query or "authorization" in head.headers:
        raise S3Error("InvalidArgument", "Only one auth mechanism allowed", ArgumentName="Authorization")
    unsigned = sorted(name for name in head.headers if name.startswith("x-amz-"))
    if unsigned:
        raise S3Error(
            "AccessDenied", "There were headers present in the request which were not signed", HeadersNotSigned=", ".join(unsigned)
        )


async def _check_origin(call: Call) -> None:
    """Without a signature anybody's page could send a form through the browser of somebody who can reach the daemon, and need not be asked
    for a preflight: so the bucket's rules are asked. Raises S3Error AccessForbidden.
    """
    origin = call.headers.get("origin")
    if origin is None or origin.partition("://")[2] == call.headers.get("host"):
        return
    rules = await call.services.cors.rules(call.bucket) if call.services.cors is not None else ()
    if "Access-Control-Allow-Origin" not in answer_headers(rules, origin, "POST"):
        raise S3Error(
            "AccessForbidden",
            "A form that nobody signed is taken only from pages of origins that the bucket's CORS rules let POST.",
            Method="POST",
            ResourceType="BUCKET",
        )


def _bucket(call: Call, fields: Mapping[str, str]) -> str:
    """The bucket that conditions are about: the one of the URL, whatever else the form says."""
    if fields.get("bucket", call.bucket) != call.bucket:
        raise S3Error("InvalidArgument", "The form's bucket is not that of the URL.", ArgumentName="bucket", ArgumentValue=fields["bucket"])
    return call.bucket


def _headers(fields: Mapping[str, str]) -> Headers:
    """What the fields are as headers of a PUT. Raises S3Error NotImplemented for what would be left out without a word."""
    headers = {"transfer-encoding": "chunked"}
    for name, value in fields.items():
        if name in _AS_HEADERS or name.startswith(_PREFIXES):
            headers[name] = value
        elif name == "acl":
            headers["x-amz-acl"] = value
        elif name in HEADERS_ON_OBJECTS or (name.startswith("x-amz-") and name not in _OF_CREDENTIALS):
            raise S3Error("NotImplemented", f"The field {name} implies functionality that is not offered here.", Header=name)
    return Headers(headers)


def _answer(call: Call, key: str, fields: Mapping[str, str], told: Mapping[str, str]) -> Response:
    etag = told["ETag"]
    redirect = _redirect(fields.get("success_action_redirect") or fields.get("redirect") or "")
    if redirect is not None:
        more = f"bucket={quote(call.bucket, safe='')}&key={quote(key, safe='')}&etag={quote(etag, safe='')}"
        return Response(303, {**told, "Location": f"{redirect}{'&' if '?' in redirect else '?'}{more}"})
    scheme = "https" if call.head.secure else "http"
    location = f"{scheme}://{call.headers.get('host', 'localhost')}/{call.bucket}/{quote(key)}"
    headers = {**told, "Location": location}
    status = fields.get("success_action_status")
    if status == "201":
        body = tag("Location", location) + tag("Bucket", call.bucket) + tag("Key", key) + tag("ETag", etag)
        return Response(201, {**headers, "Content-Type": "application/xml"}, document("PostResponse", body))
    return Response(200 if status == "200" else 204, headers)


def _redirect(url: str) -> str | None:
    """``url`` without its fragment, if a browser may be sent there; S3 acts as if another was not given."""
    if not url or not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts._replace(fragment="").geturl() if parts.scheme in ("http", "https") and parts.netloc else None
