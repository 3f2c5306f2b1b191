"""alluxio_s3: the S3 API of an Alluxio worker, as a Twisted daemon."""

__version__ = "0.1.0"
