"""S3's errors: one exception, one table of codes.

Codes, statuses and messages are those of the S3 API reference, "List of error codes".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

TABLE: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "AccessDenied": (403, "Access Denied"),
        "AccessForbidden": (403, "Access forbidden"),
        "AuthorizationHeaderMalformed": (400, "The authorization header that you provided is not valid."),
        "AuthorizationQueryParametersError": (400, "The authorization query parameters that you provided are not valid."),
        "BadDigest": (400, "The Content-MD5 or checksum value that you specified did not match what the server received."),
        "BadRequest": (400, "Bad Request"),
        "BucketAlreadyExists": (409, "The requested bucket name is not available."),
        "BucketAlreadyOwnedByYou": (409, "The bucket that you tried to create already exists, and you own it."),
        "BucketNotEmpty": (409, "The bucket that you tried to delete is not empty."),
        "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed object size."),
        "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed object size."),
        "ExpiredToken": (400, "The provided token has expired."),
        "IllegalLocationConstraintException": (400, "The specified location constraint is not valid."),
        "IncompleteBody": (400, "You did not provide the number of bytes specified by the Content-Length HTTP header."),
        "InsufficientStorage": (507, "The store behind this bucket is full."),
        "InternalError": (500, "An internal error occurred. Try again."),
        "InvalidAccessKeyId": (403, "The AWS access key ID that you provided does not exist in our records."),
        "InvalidArgument": (400, "Invalid Argument"),
        "InvalidBucketName": (400, "The specified bucket is not valid."),
        "InvalidDigest": (400, "The Content-MD5 or checksum value that you specified is not valid."),
        "InvalidPart": (
            400,
            (
                "One or more of the specified parts could not be found. The part might not have been uploaded,"
                " or the specified entity tag might not have matched the part's entity tag."
            ),
        ),
        "InvalidPartNumber": (416, "The requested partnumber is not satisfiable."),
        "InvalidPartOrder": (
            400,
            "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
        ),
        "InvalidPolicyDocument": (400, "The content of the form does not meet the conditions specified in the policy document."),
        "InvalidRange": (416, "The requested range is not satisfiable."),
        "InvalidRequest": (400, "Invalid Request"),
        "InvalidStorageClass": (400, "The storage class you specified is not valid."),
        "InvalidTag": (400, "The tag provided was not a valid tag."),
        "InvalidToken": (400, "The provided token is malformed or otherwise not valid."),
        "InvalidURI": (400, "The specified URI couldn't be parsed."),
        "KeyTooLongError": (400, "Your key is too long."),
        "MalformedPOSTRequest": (400, "The body of your POST request is not well-formed multipart/form-data."),
        "MalformedTrailerError": (400, "The request contained trailing data that was not well-formed."),
        "MalformedXML": (400, "The XML that you provided was not well formed or did not validate against our published schema."),
        "MaxPostPreDataLengthExceeded": (400, "Your POST request fields preceding the upload file were too large."),
        "MaxMessageLengthExceeded": (400, "Your request was too large."),
        "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size."),
        "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
        "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
        "MissingRequestBodyError": (400, "Request body is empty."),
        "NoSuchBucket": (404, "The specified bucket does not exist."),
        "NoSuchCORSConfiguration": (404, "The CORS configuration does not exist"),
        "NoSuchKey": (404, "The specified key does not exist."),
        "NoSuchTagSet": (404, "The TagSet does not exist."),
        "NoSuchUpload": (
            404,
            (
                "The specified multipart upload does not exist. The upload ID might be invalid,"
                " or the multipart upload might have been aborted or completed."
            ),
        ),
        "NotImplemented": (501, "A header or query that you provided implies functionality that is not implemented."),
        "NotModified": (304, "Not Modified"),
        "PreconditionFailed": (412, "At least one of the preconditions that you specified did not hold."),
        "RequestHeaderSectionTooLarge": (400, "Your request header section exceeds the maximum allowed size."),
        "RequestTimeout": (400, "Your socket connection to the server was not read from or written to within the timeout period."),
        "RequestTimeTooSkewed": (403, "The difference between the request time and the server's time is too large."),
        "ServiceUnavailable": (503, "Service is unable to handle the request."),
        "SignatureDoesNotMatch": (403, "The request signature that the server calculated does not match the signature that you provided."),
        "SlowDown": (503, "Please reduce your request rate."),
        "TemporaryRedirect": (
            307,
            (
                "Please re-send this request to the specified temporary endpoint. Continue to use the original request endpoint for future"
                " requests."
            ),
        ),
        "XAmzContentChecksumMismatch": (400, "The provided checksum does not match what was computed."),
        "XAmzContentSHA256Mismatch": (400, "The provided 'x-amz-content-sha256' header does not match what was computed."),
    }
)


class S3Error(Exception):
    """An answer that is an error of S3.

    ``code`` is a key of ``TABLE``, which gives the status and, unless ``message`` says it
    better, the message. ``details`` become further elements of the XML body (``BucketName="b"``),
    ``headers`` further headers of the answer.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **details: str,
    ) -> None:
        self.code = code
        self.status, standard = TABLE[code]
        self.message = standard if message is None else message
        self.headers = dict(headers or {})
        self.details = details
        super().__init__(f"{code}: {self.message}")

    def anew(self) -> S3Error:
        """The same, to be raised: one that is kept would keep whoever it was raised in, and be kept by them."""
        return S3Error(self.code, self.message, headers=self.headers, **self.details)
