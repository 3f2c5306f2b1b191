"""Requests that must be refused, each with the status and the code of the refusal.

Bucket ``b`` holds the object ``k`` (``old``, five bytes with its line end and a NUL) and an upload ``UPLOAD`` on key ``m`` with part 1.
"""

from __future__ import annotations

import base64
import hashlib
import zlib

HOST = b"Host: h\r\n"


def req(line: str, *headers: str, body: bytes = b"", length: bool = True) -> bytes:
    """A request; Content-Length is added unless ``length`` is false or a header frames it."""
    given = {header.partition(":")[0].lower() for header in headers}
    framed = [f"Content-Length: {len(body)}"] if length and not given & {"content-length", "transfer-encoding"} else []
    head = "\r\n".join([f"{line} HTTP/1.1", "Host: h", *headers, *framed, "", ""])
    return head.encode() + body


def put(*headers: str, key: str = "new", body: bytes = b"body", length: bool = True, query: str = "") -> bytes:
    """A PutObject."""
    return req(f"PUT /b/{key}{query}", *headers, body=body, length=length)


def post(query: str, body: bytes, *headers: str, key: str = "") -> bytes:
    """A POST with an XML body."""
    return req(f"POST /b{f'/{key}' if key else ''}?{query}", *headers, body=body)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


MD5_OTHER = b64(hashlib.md5(b"other").digest())
CRC_OTHER = b64(zlib.crc32(b"other").to_bytes(4, "big"))
CRC_BODY = b64(zlib.crc32(b"body").to_bytes(4, "big"))
SHA_OTHER = hashlib.sha256(b"other").hexdigest()
AWS_CHUNKED = ("Content-Encoding: aws-chunked", "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER")


def chunked(body: bytes, *headers: str, decoded: int | str = 4, trailer: str = "x-amz-checksum-crc32") -> bytes:
    """A PutObject in aws-chunked form with an unsigned trailer."""
    announced = (f"x-amz-trailer: {trailer}",) if trailer else ()
    return put(*AWS_CHUNKED, f"x-amz-decoded-content-length: {decoded}", *announced, *headers, body=body)


def signed(body: bytes, *headers: str, decoded: int = 4) -> bytes:
    """A PutObject in aws-chunked form with signed chunks."""
    return put(
        "Content-Encoding: aws-chunked",
        "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        f"x-amz-decoded-content-length: {decoded}",
        *headers,
        body=body,
    )


SIG = "0" * 64
COMPLETE = "<CompleteMultipartUpload>{}</CompleteMultipartUpload>"
PART = "<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>"
PART_ETAG = hashlib.md5(b"part").hexdigest()


def complete(text: str, *headers: str, upload: str = "UPLOAD") -> bytes:
    """A CompleteMultipartUpload of the upload that is there."""
    return post(f"uploadId={upload}", text.encode(), *headers, key="m")


def tagging(text: str, *, bucket: bool = False) -> bytes:
    """A PutObjectTagging of the object that is there, or a PutBucketTagging."""
    return req(f"PUT /b{'' if bucket else '/k'}?tagging", body=text.encode())


def tag_set(*tags: tuple[str, str]) -> str:
    inner = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags)
    return f"<Tagging><TagSet>{inner}</TagSet></Tagging>"


def v4(credential: str, *, date: str = "20260101T000000Z", expires: str = "60") -> str:
    """The query of a presigned URL."""
    return (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={date}"
        f"&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host&X-Amz-Signature={SIG}"
    )


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    "<Tagging><TagSet><Tag><Key>&b;</Key></Tag></TagSet></Tagging>"
)

FRAMING = {
    "not HTTP": (b"hello\r\n\r\n", 400, "InvalidRequest"),
    "no version": (b"GET /\r\n" + HOST + b"\r\n", 400, "InvalidRequest"),
    "wrong protocol": (b"GET / FTP/1.1\r\n" + HOST + b"\r\n", 400, "InvalidRequest"),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400, "InvalidRequest"),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "InvalidRequest"),
    "folded header": (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400, "InvalidRequest"),
    "bare CR": (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400, "InvalidRequest"),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400, "InvalidRequest"),
    "no colon": (b"GET / HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n", 400, "InvalidRequest"),
    "NUL in header": (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 400, "InvalidRequest"),
    "two lengths": (b"PUT /b/new HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, "InvalidRequest"),
    "length and chunked": (req("PUT /b/new", "Content-Length: 3", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400, "InvalidRequest"),
    "length +3": (put("Content-Length: +3", body=b"abc"), 400, "InvalidRequest"),
    "length -3": (put("Content-Length: -3", body=b""), 400, "InvalidRequest"),
    "length 0x3": (put("Content-Length: 0x3", body=b"abc"), 400, "InvalidRequest"),
    "length 3,3": (put("Content-Length: 3, 3", body=b"abc"), 400, "InvalidRequest"),
    "gzip coding": (put("Transfer-Encoding: gzip", body=b""), 400, "InvalidRequest"),
    "two codings": (put("Transfer-Encoding: gzip, chunked", body=b""), 400, "InvalidRequest"),
    "bad chunk size": (put("Transfer-Encoding: chunked", body=b"xyz\r\nabc\r\n0\r\n\r\n"), 400, "InvalidRequest"),
    "negative chunk": (put("Transfer-Encoding: chunked", body=b"-1\r\nabc\r\n0\r\n\r\n"), 400, "InvalidRequest"),
    "chunk too long": (put("Transfer-Encoding: chunked", body=b"3\r\nabcd\r\n0\r\n\r\n"), 400, "InvalidRequest"),
    "long header": (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"v" * 40_000 + b"\r\n\r\n", 400, "RequestHeaderSectionTooLarge"),
    "many headers": (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: v\r\n" * 300 + b"\r\n", 400, "InvalidRequest"),
    "odd expectation": (put("Expect: miracles"), 400, "InvalidRequest"),
    "two Ranges": (req("GET /b/k", "Range: bytes=0-1", "Range: bytes=2-3"), 400, "InvalidArgument"),
    "two Authorizations": (req("GET /b/k", "Authorization: AWS a:b", "Authorization: AWS c:d"), 400, "InvalidArgument"),
    "unknown method": (req("BREW /b/k"), 405, "MethodNotAllowed"),
    "PATCH": (req("PATCH /b/k", body=b"x"), 405, "MethodNotAllowed"),
    "POST on an object": (req("POST /b/k", body=b"x"), 405, "MethodNotAllowed"),
    "PUT on the service": (req("PUT /", body=b"x"), 405, "MethodNotAllowed"),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400, "InvalidURI"),
}

TARGETS = {
    "bad escape": (put(key="%zz"), 400, "InvalidURI"),
    "cut escape": (put(key="a%2"), 400, "InvalidURI"),
    "not UTF-8": (put(key="%ff%fe"), 400, "InvalidURI"),
    "overlong UTF-8": (put(key="%c0%ae%c0%ae/x"), 400, "InvalidURI"),
    "surrogate": (put(key="%ed%a0%80"), 400, "InvalidURI"),
    "fragment": (put(key="a#b"), 400, "InvalidURI"),
    "relative target": (req("GET b/k"), 400, "InvalidURI"),
    "other scheme": (req("GET ftp://h/b/k"), 400, "InvalidURI"),
    "long target": (req("GET /b/" + "a" * 9000), 400, "InvalidURI"),
    "empty bucket": (req("GET //k"), 400, "InvalidURI"),
    "NUL in key": (put(key="a%00b"), 400, "InvalidArgument"),
    "dot-dot": (put(key="../x"), 400, "InvalidArgument"),
    "encoded dot-dot": (put(key="%2e%2e/x"), 400, "InvalidArgument"),
    "dot-dot inside": (put(key="a/../../x"), 400, "InvalidArgument"),
    "dot-dot encoded slash": (put(key="a%2f..%2fb"), 400, "InvalidArgument"),
    "dot-dot at the end": (put(key="a/.."), 400, "InvalidArgument"),
    "dot": (put(key="./x"), 400, "InvalidArgument"),
    "dot inside": (put(key="a/./x"), 400, "InvalidArgument"),
    "double slash": (put(key="a//b"), 400, "InvalidArgument"),
    "leading slash": (put(key="/b"), 400, "InvalidArgument"),
    "encoded double slash": (put(key="a%2f%2fb"), 400, "InvalidArgument"),
    "question mark": (put(key="a%3Fb"), 400, "InvalidArgument"),
    "backslash": (put(key="a%5Cb"), 400, "InvalidArgument"),
    "key of 1025 bytes": (put(key="a" * 1025), 400, "KeyTooLongError"),
    "key of 1026 bytes in UTF-8": (put(key="%c3%a9" * 513), 400, "KeyTooLongError"),
    "segment that no disk holds": (put(key="a" * 300), 400, "KeyTooLongError"),
    "key under an object": (put(key="k/x"), 400, "InvalidRequest"),
    "folder in place of an object": (put(key="k/", body=b""), 400, "InvalidRequest"),
    "folder with a body": (put(key="folder/", body=b"x"), 400, "InvalidRequest"),
    "bucket name with a slash": (req("PUT /a%2Fb"), 400, "InvalidBucketName"),
    "bucket dot-dot": (req("PUT /.."), 400, "InvalidBucketName"),
    "bucket that is reserved": (req("PUT /.alluxio-s3"), 400, "InvalidBucketName"),
    "object in the reserved bucket": (req("GET /.alluxio-s3/lock"), 400, "InvalidBucketName"),
    "bucket with a space": (req("PUT /a%20b"), 400, "InvalidBucketName"),
    "bucket of 300": (req("PUT /" + "a" * 300), 400, "InvalidBucketName"),
    "missing bucket": (req("PUT /nobucket/k", body=b"x"), 404, "NoSuchBucket"),
    "GET in a missing bucket": (req("GET /nobucket/k"), 404, "NoSuchBucket"),
    "list of a missing bucket": (req("GET /nobucket"), 404, "NoSuchBucket"),
    "missing key": (req("GET /b/nokey"), 404, "NoSuchKey"),
    "below an object": (req("GET /b/k/x"), 404, "NoSuchKey"),
}

QUERIES = {
    "acl": (req("GET /b/k?acl"), 501, "NotImplemented"),
    "DELETE acl": (req("DELETE /b/k?acl"), 501, "NotImplemented"),
    "bucket policy": (req("GET /b?policy"), 501, "NotImplemented"),
    "PUT lifecycle": (req("PUT /b?lifecycle", body=b"<x/>"), 501, "NotImplemented"),
    "DELETE lifecycle": (req("DELETE /b?lifecycle"), 501, "NotImplemented"),
    "versions": (req("GET /b?versions"), 501, "NotImplemented"),
    "object lock": (req("GET /b?object-lock"), 501, "NotImplemented"),
    "retention": (req("PUT /b/k?retention", body=b"<x/>"), 501, "NotImplemented"),
    "torrent": (req("GET /b/k?torrent"), 501, "NotImplemented"),
    "restore": (req("POST /b/k?restore", body=b"<x/>"), 501, "NotImplemented"),
    "select": (req("POST /b/k?select&select-type=2", body=b"<x/>"), 501, "NotImplemented"),
    "acl beside tagging": (req("DELETE /b/k?acl&tagging"), 501, "NotImplemented"),
    "unknown sub-resource": (req("DELETE /b/k?nonsense"), 400, "InvalidArgument"),
    "tagging misspelt": (req("DELETE /b/k?Tagging"), 400, "InvalidArgument"),
    "other version": (req("GET /b/k?versionId=abc"), 400, "InvalidArgument"),
    "DELETE other version": (req("DELETE /b/k?versionId=abc"), 400, "InvalidArgument"),
    "max-keys word": (req("GET /b?max-keys=many"), 400, "InvalidArgument"),
    "max-keys negative": (req("GET /b?max-keys=-1"), 400, "InvalidArgument"),
    "encoding-type": (req("GET /b?encoding-type=base64"), 400, "InvalidArgument"),
    "list-type": (req("GET /b?list-type=3"), 400, "InvalidArgument"),
    "token": (req("GET /b?list-type=2&continuation-token=rubbish"), 400, "InvalidArgument"),
    "partNumber without upload": (req("PUT /b/m?partNumber=1", body=b"x"), 400, "InvalidArgument"),
    "partNumber 0": (req("PUT /b/m?partNumber=0&uploadId=UPLOAD", body=b"x"), 400, "InvalidArgument"),
    "partNumber 10001": (req("PUT /b/m?partNumber=10001&uploadId=UPLOAD", body=b"x"), 400, "InvalidArgument"),
    "partNumber word": (req("PUT /b/m?partNumber=one&uploadId=UPLOAD", body=b"x"), 400, "InvalidArgument"),
    "unknown upload": (req("PUT /b/m?partNumber=1&uploadId=unknown", body=b"x"), 404, "NoSuchUpload"),
    "upload id as a path": (req("PUT /b/m?partNumber=1&uploadId=..%2F..%2Fx", body=b"x"), 404, "NoSuchUpload"),
    "upload of another key": (req("PUT /b/other?partNumber=1&uploadId=UPLOAD", body=b"x"), 404, "NoSuchUpload"),
    "abort unknown": (req("DELETE /b/m?uploadId=unknown"), 404, "NoSuchUpload"),
    "parts of unknown": (req("GET /b/m?uploadId=unknown"), 404, "NoSuchUpload"),
    "part-number-marker": (req("GET /b/m?uploadId=UPLOAD&part-number-marker=x"), 400, "InvalidArgument"),
    "part of a plain object": (req("GET /b/k?partNumber=2"), 416, "InvalidPartNumber"),
    "part and range": (req("GET /b/k?partNumber=1", "Range: bytes=0-1"), 400, "InvalidRequest"),
    "override with CRLF": (req("GET /b/k?response-content-type=a%0D%0AX:b"), 400, "InvalidArgument"),
    "many parameters": (req("GET /b?" + "&".join(f"x-{n}=1" for n in range(100))), 400, "InvalidURI"),
    "max-uploads": (req("GET /b?uploads&max-uploads=x"), 400, "InvalidArgument"),
    "tags of a missing key": (req("GET /b/nokey?tagging"), 404, "NoSuchKey"),
    "bucket tags that are none": (req("GET /b?tagging"), 404, "NoSuchTagSet"),
    "attributes without a list": (req("GET /b/k?attributes"), 400, "InvalidRequest"),
    "attributes unknown": (req("GET /b/k?attributes", "x-amz-object-attributes: Colour"), 400, "InvalidArgument"),
}

HEADERS = {
    "no length": (put(length=False, body=b""), 411, "MissingContentLength"),
    "Content-MD5 mismatch": (put(f"Content-MD5: {MD5_OTHER}"), 400, "BadDigest"),
    "Content-MD5 not base64": (put("Content-MD5: !!!"), 400, "InvalidDigest"),
    "Content-MD5 short": (put("Content-MD5: AAAA"), 400, "InvalidDigest"),
    "Content-MD5 empty": (put("Content-MD5:"), 400, "InvalidDigest"),
    "sha256 mismatch": (put(f"x-amz-content-sha256: {SHA_OTHER}"), 400, "XAmzContentSHA256Mismatch"),
    "sha256 rubbish": (put("x-amz-content-sha256: rubbish"), 400, "InvalidArgument"),
    "crc32 mismatch": (put(f"x-amz-checksum-crc32: {CRC_OTHER}"), 400, "BadDigest"),
    "crc32 not base64": (put("x-amz-checksum-crc32: ???"), 400, "InvalidRequest"),
    "crc32 long": (put("x-amz-checksum-crc32: AAAAAAAAAAA="), 400, "InvalidRequest"),
    "crc32c mismatch": (put("x-amz-checksum-crc32c: AAAAAA=="), 400, "BadDigest"),
    "crc64 mismatch": (put("x-amz-checksum-crc64nvme: AAAAAAAAAAA="), 400, "BadDigest"),
    "sha1 mismatch": (put(f"x-amz-checksum-sha1: {b64(bytes(20))}"), 400, "BadDigest"),
    "checksum sha256 mismatch": (put(f"x-amz-checksum-sha256: {b64(bytes(32))}"), 400, "BadDigest"),
    "two checksums": (put(f"x-amz-checksum-crc32: {CRC_BODY}", "x-amz-checksum-crc32c: AAAAAA=="), 400, "InvalidRequest"),
    "unknown checksum": (put("x-amz-checksum-crc99: AAAA"), 400, "InvalidRequest"),
    "unknown algorithm": (put("x-amz-sdk-checksum-algorithm: CRC99"), 400, "InvalidRequest"),
    "algorithm and value differ": (put("x-amz-sdk-checksum-algorithm: SHA256", f"x-amz-checksum-crc32: {CRC_BODY}"), 400, "InvalidRequest"),
    "metadata too large": (put("x-amz-meta-a: " + "v" * 3000), 400, "MetadataTooLarge"),
    "tags not encoded": (put("x-amz-tagging: a=%zz"), 400, "InvalidArgument"),
    "tag twice": (put("x-amz-tagging: a=1&a=2"), 400, "InvalidArgument"),
    "eleven tags": (put("x-amz-tagging: " + "&".join(f"k{n}=v" for n in range(11))), 400, "BadRequest"),
    "long tag key": (put(f"x-amz-tagging: {'k' * 129}=v"), 400, "InvalidTag"),
    "long tag value": (put(f"x-amz-tagging: k={'v' * 257}"), 400, "InvalidTag"),
    "reserved tag": (put("x-amz-tagging: aws:k=v"), 400, "InvalidTag"),
    "public acl": (put("x-amz-acl: public-read"), 501, "NotImplemented"),
    "encryption": (put("x-amz-server-side-encryption: aws:kms"), 501, "NotImplemented"),
    "customer key": (put("x-amz-server-side-encryption-customer-algorithm: AES256"), 501, "NotImplemented"),
    "lock": (put("x-amz-object-lock-mode: GOVERNANCE"), 501, "NotImplemented"),
    "website redirect": (put("x-amz-website-redirect-location: /x"), 501, "NotImplemented"),
    "write offset": (put("x-amz-write-offset-bytes: 3"), 501, "NotImplemented"),
    "if-none-match": (put("If-None-Match: *", key="k"), 412, "PreconditionFailed"),
    "if-match other": (put('If-Match: "00000000000000000000000000000000"', key="k"), 412, "PreconditionFailed"),
    "if-match on nothing": (put('If-Match: "00000000000000000000000000000000"'), 404, "NoSuchKey"),
    "if-match GET": (req("GET /b/k", 'If-Match: "00000000000000000000000000000000"'), 412, "PreconditionFailed"),
    "unmodified since": (req("GET /b/k", "If-Unmodified-Since: Thu, 01 Jan 1998 00:00:00 GMT"), 412, "PreconditionFailed"),
    "range beyond": (req("GET /b/k", "Range: bytes=100-200"), 416, "InvalidRange"),
    "range of no bytes": (req("GET /b/k", "Range: bytes=-0"), 416, "InvalidRange"),
    "range of an empty object": (req("GET /b/empty", "Range: bytes=0-0"), 416, "InvalidRange"),
    "copy of nothing": (put("x-amz-copy-source: /b/nokey", body=b""), 404, "NoSuchKey"),
    "copy from no bucket": (put("x-amz-copy-source: /nobucket/k", body=b""), 404, "NoSuchBucket"),
    "copy source rubbish": (put("x-amz-copy-source: rubbish", body=b""), 400, "InvalidArgument"),
    "copy source dot-dot": (put("x-amz-copy-source: /b/..%2F..%2Fetc%2Fpasswd", body=b""), 400, "InvalidArgument"),
    "copy source version": (put("x-amz-copy-source: /b/k?versionId=abc", body=b""), 400, "InvalidArgument"),
    "copy onto itself": (put("x-amz-copy-source: /b/k", key="k", body=b""), 400, "InvalidRequest"),
    "copy directive": (put("x-amz-copy-source: /b/k", "x-amz-metadata-directive: MOVE", body=b""), 400, "InvalidArgument"),
    "copy condition": (put("x-amz-copy-source: /b/k", "x-amz-copy-source-if-match: other", body=b""), 412, "PreconditionFailed"),
    "part copy range": (
        req("PUT /b/m?partNumber=2&uploadId=UPLOAD", "x-amz-copy-source: /b/k", "x-amz-copy-source-range: bytes=3-1"),
        400,
        "InvalidArgument",
    ),
    "part copy range beyond": (
        req("PUT /b/m?partNumber=2&uploadId=UPLOAD", "x-amz-copy-source: /b/k", "x-amz-copy-source-range: bytes=0-99"),
        416,
        "InvalidRange",
    ),
    "location constraint": (req("PUT /b2", body=b"<CreateBucketConfiguration><Wrong>"), 400, "MalformedXML"),
    "owner": (req("GET /b/k", "x-amz-expected-bucket-owner: 123456789012"), 403, "AccessDenied"),
    "owner, DELETE": (req("DELETE /b/k", "x-amz-expected-bucket-owner: 123456789012"), 403, "AccessDenied"),
    "delete condition": (req("DELETE /b/k", 'If-Match: "00000000000000000000000000000000"'), 412, "PreconditionFailed"),
}

CHUNKED = {
    "no decoded length": (put(*AWS_CHUNKED, "x-amz-trailer: x-amz-checksum-crc32", body=b"0\r\n\r\n"), 400, "MalformedTrailerError"),
    "decoded length word": (chunked(b"4\r\nbody\r\n0\r\n\r\n", decoded="four", trailer=""), 400, "InvalidArgument"),
    "decoded length short": (chunked(b"4\r\nbody\r\n0\r\n\r\n", decoded=3, trailer=""), 400, "IncompleteBody"),
    "decoded length long": (chunked(b"4\r\nbody\r\n0\r\n\r\n", decoded=5, trailer=""), 400, "IncompleteBody"),
    "no last chunk": (chunked(b"4\r\nbody\r\n", trailer=""), 400, "IncompleteBody"),
    "chunk cut": (chunked(b"8\r\nbody", trailer="", decoded=8), 400, "IncompleteBody"),
    "size not hex": (chunked(b"zz\r\nbody\r\n0\r\n\r\n", trailer=""), 400, "InvalidRequest"),
    "size negative": (chunked(b"-4\r\nbody\r\n0\r\n\r\n", trailer=""), 400, "InvalidRequest"),
    "size huge": (chunked(b"ffffffffffffffffffff\r\nbody\r\n0\r\n\r\n", trailer=""), 400, "InvalidRequest"),
    "size line endless": (chunked(b"4;" + b"x" * 70_000, trailer=""), 400, "InvalidRequest"),
    "no CRLF after chunk": (chunked(b"4\r\nbodyXX0\r\n\r\n", trailer=""), 400, "InvalidRequest"),
    "trailer mismatch": (chunked(f"4\r\nbody\r\n0\r\nx-amz-checksum-crc32:{CRC_OTHER}\r\n\r\n".encode()), 400, "BadDigest"),
    "trailer not base64": (chunked(b"4\r\nbody\r\n0\r\nx-amz-checksum-crc32:???\r\n\r\n"), 400, "InvalidRequest"),
    "trailer missing": (chunked(b"4\r\nbody\r\n0\r\n\r\n"), 400, "MalformedTrailerError"),
    "trailer not announced": (
        chunked(f"4\r\nbody\r\n0\r\nx-amz-checksum-crc32:{CRC_BODY}\r\n\r\n".encode(), trailer=""),
        400,
        "MalformedTrailerError",
    ),
    "other trailer": (chunked(b"4\r\nbody\r\n0\r\nx-amz-checksum-sha1:AAAA\r\n\r\n"), 400, "MalformedTrailerError"),
    "trailer without colon": (chunked(b"4\r\nbody\r\n0\r\nnonsense\r\n\r\n"), 400, "MalformedTrailerError"),
    "trailer endless": (chunked(b"4\r\nbody\r\n0\r\n" + b"a" * 70_000), 400, "MalformedTrailerError"),
    "unknown trailer announced": (
        chunked(b"4\r\nbody\r\n0\r\nx-amz-checksum-crc99:AAAA\r\n\r\n", trailer="x-amz-checksum-crc99"),
        400,
        "InvalidRequest",
    ),
    "bytes after the end": (chunked(b"4\r\nbody\r\n0\r\n\r\nmore", trailer=""), 400, "MalformedTrailerError"),
    "signed cut": (signed(f"4;chunk-signature={SIG}\r\nbody\r\n".encode()), 400, "IncompleteBody"),
    "signed short": (signed(f"3;chunk-signature={SIG}\r\nbod\r\n0;chunk-signature={SIG}\r\n\r\n".encode()), 400, "IncompleteBody"),
    "unknown streaming form": (put("x-amz-content-sha256: STREAMING-NONSENSE"), 400, "InvalidArgument"),
    "crc mismatch beside a right length": (
        chunked(f"2\r\nbo\r\n2\r\ndy\r\n0\r\nx-amz-checksum-crc32:{CRC_OTHER}\r\n\r\n".encode()),
        400,
        "BadDigest",
    ),
}

DOCUMENTS = {
    "delete: empty": (post("delete", b""), 400, "MissingRequestBodyError"),
    "delete: not XML": (post("delete", b"hello"), 400, "MalformedXML"),
    "delete: cut": (post("delete", b"<Delete><Object><Key>k</Key>"), 400, "MalformedXML"),
    "delete: other root": (post("delete", b"<Remove><Object><Key>k</Key></Object></Remove>"), 400, "MalformedXML"),
    "delete: no object": (post("delete", b"<Delete></Delete>"), 400, "MalformedXML"),
    "delete: object without key": (post("delete", b"<Delete><Object></Object></Delete>"), 400, "MalformedXML"),
    "delete: 1001 keys": (post("delete", b"<Delete>" + b"<Object><Key>x</Key></Object>" * 1001 + b"</Delete>"), 400, "MalformedXML"),
    "delete: 5 MiB": (post("delete", b"<Delete>" + b" " * (5 << 20) + b"</Delete>"), 400, "MaxMessageLengthExceeded"),
    "delete: DOCTYPE": (post("delete", b"<!DOCTYPE x><Delete><Object><Key>k</Key></Object></Delete>"), 400, "MalformedXML"),
    "delete: deep": (post("delete", b"<Delete>" * 40 + b"</Delete>" * 40), 400, "MalformedXML"),
    "delete: wrong MD5": (post("delete", b"<Delete><Object><Key>k</Key></Object></Delete>", f"Content-MD5: {MD5_OTHER}"), 400, "BadDigest"),
    "delete: wrong crc": (
        post("delete", b"<Delete><Object><Key>k</Key></Object></Delete>", f"x-amz-checksum-crc32: {CRC_OTHER}"),
        400,
        "BadDigest",
    ),
    "tagging: bomb": (tagging(BOMB), 400, "MalformedXML"),
    "tagging: not XML": (tagging("x"), 400, "MalformedXML"),
    "tagging: not UTF-8": (req("PUT /b/k?tagging", body=b"<Tagging><TagSet>\xff</TagSet></Tagging>"), 400, "MalformedXML"),
    "tagging: no set": (tagging("<Tagging></Tagging>"), 400, "MalformedXML"),
    "tagging: no key": (tagging("<Tagging><TagSet><Tag><Value>v</Value></Tag></TagSet></Tagging>"), 400, "MalformedXML"),
    "tagging: eleven": (tagging(tag_set(*((f"k{n}", "v") for n in range(11)))), 400, "BadRequest"),
    "tagging: twice": (tagging(tag_set(("k", "1"), ("k", "2"))), 400, "InvalidTag"),
    "tagging: empty key": (tagging(tag_set(("", "1"))), 400, "InvalidTag"),
    "tagging: long key": (tagging(tag_set(("k" * 129, "1"))), 400, "InvalidTag"),
    "tagging: long value": (tagging(tag_set(("k", "v" * 257))), 400, "InvalidTag"),
    "tagging: aws:": (tagging(tag_set(("aws:k", "v"))), 400, "InvalidTag"),
    "bucket tagging: 51": (tagging(tag_set(*((f"k{n}", "v") for n in range(51))), bucket=True), 400, "BadRequest"),
    "complete: empty": (complete(""), 400, "MissingRequestBodyError"),
    "complete: no parts": (complete(COMPLETE.format("")), 400, "MalformedXML"),
    "complete: unknown part": (complete(COMPLETE.format(PART.format(2, PART_ETAG))), 400, "InvalidPart"),
    "complete: other ETag": (complete(COMPLETE.format(PART.format(1, "0" * 32))), 400, "InvalidPart"),
    "complete: order": (complete(COMPLETE.format(PART.format(2, PART_ETAG) + PART.format(1, PART_ETAG))), 400, "InvalidPartOrder"),
    "complete: part twice": (complete(COMPLETE.format(PART.format(1, PART_ETAG) * 2)), 400, "InvalidPartOrder"),
    "complete: number word": (complete(COMPLETE.format(PART.format("one", PART_ETAG))), 400, "MalformedXML"),
    "complete: no ETag": (complete(COMPLETE.format("<Part><PartNumber>1</PartNumber></Part>")), 400, "MalformedXML"),
    "complete: unknown upload": (complete(COMPLETE.format(PART.format(1, PART_ETAG)), upload="unknown"), 404, "NoSuchUpload"),
    "complete: wrong size": (complete(COMPLETE.format(PART.format(1, PART_ETAG)), "x-amz-mp-object-size: 99"), 400, "InvalidRequest"),
    "complete: size word": (complete(COMPLETE.format(PART.format(1, PART_ETAG)), "x-amz-mp-object-size: big"), 400, "InvalidRequest"),
    "bucket: not XML": (req("PUT /b2", body=b"hello"), 400, "MalformedXML"),
    "bucket: other root": (req("PUT /b2", body=b"<Other/>"), 400, "MalformedXML"),
    "bucket: object lock": (req("PUT /b2", "x-amz-bucket-object-lock-enabled: true"), 501, "NotImplemented"),
    "bucket: not empty": (req("DELETE /b"), 409, "BucketNotEmpty"),
    "bucket: somebody else's": (req("PUT /b", "Authorization: AWS intruder:sig"), 409, "BucketAlreadyExists"),
    "bucket: missing": (req("DELETE /nobucket"), 404, "NoSuchBucket"),
    "upload: checksum type": (
        req("POST /b/m2?uploads", "x-amz-checksum-algorithm: CRC64NVME", "x-amz-checksum-type: COMPOSITE"),
        400,
        "InvalidRequest",
    ),
    "upload: algorithm": (req("POST /b/m2?uploads", "x-amz-checksum-algorithm: CRC99"), 400, "InvalidRequest"),
    "upload: metadata": (req("POST /b/m2?uploads", "x-amz-meta-a: " + "v" * 3000), 400, "MetadataTooLarge"),
    "part: bad MD5": (req("PUT /b/m?partNumber=1&uploadId=UPLOAD", f"Content-MD5: {MD5_OTHER}", body=b"x"), 400, "BadDigest"),
}

IDENTITY = {
    "header and query": (req(f"GET /b/k?{v4('u%2F20260101%2Fr%2Fs3%2Faws4_request')}", "Authorization: AWS u:s"), 400, "InvalidArgument"),
    "unknown scheme": (req("GET /b/k", "Authorization: Digest x"), 400, "InvalidArgument"),
    "V4 without credential": (req("GET /b/k", "Authorization: AWS4-HMAC-SHA256 Signature=x"), 400, "AuthorizationHeaderMalformed"),
    "V4 without a user": (
        req("GET /b/k", f"Authorization: AWS4-HMAC-SHA256 Credential=/s3, SignedHeaders=host, Signature={SIG}"),
        400,
        "AuthorizationHeaderMalformed",
    ),
    "V4 rubbish": (req("GET /b/k", "Authorization: AWS4-HMAC-SHA256 rubbish"), 400, "AuthorizationHeaderMalformed"),
    "V2 without signature": (req("GET /b/k", "Authorization: AWS user"), 400, "InvalidArgument"),
    "presigned, cut": (req("GET /b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256"), 400, "AuthorizationQueryParametersError"),
    "presigned, expired": (req(f"GET /b/k?{v4('u%2F20260101%2Fr%2Fs3%2Faws4_request')}"), 403, "AccessDenied"),
    "presigned, expires word": (
        req(f"GET /b/k?{v4('u%2F20260101%2Fr%2Fs3%2Faws4_request', expires='soon')}"),
        400,
        "AuthorizationQueryParametersError",
    ),
    "presigned, 8 days": (
        req(f"GET /b/k?{v4('u%2F20260101%2Fr%2Fs3%2Faws4_request', expires='700000')}"),
        400,
        "AuthorizationQueryParametersError",
    ),
    "presigned, date": (
        req(f"GET /b/k?{v4('u%2F20260101%2Fr%2Fs3%2Faws4_request', date='yesterday')}"),
        400,
        "AuthorizationQueryParametersError",
    ),
    "presigned V2, expired": (req("PUT /b/new?AWSAccessKeyId=u&Signature=x&Expires=1000000000", body=b"x"), 403, "AccessDenied"),
    "presigned V2, word": (req("PUT /b/new?AWSAccessKeyId=u&Signature=x&Expires=never", body=b"x"), 403, "AccessDenied"),
    "presigned V2, cut": (req("PUT /b/new?AWSAccessKeyId=u&Signature=x", body=b"x"), 403, "AccessDenied"),
}

CASES: dict[str, tuple[bytes, int, str]] = {
    f"{group}: {name}": case
    for group, cases in [
        ("framing", FRAMING),
        ("target", TARGETS),
        ("query", QUERIES),
        ("header", HEADERS),
        ("aws-chunked", CHUNKED),
        ("document", DOCUMENTS),
        ("identity", IDENTITY),
    ]
    for name, case in cases.items()
}
