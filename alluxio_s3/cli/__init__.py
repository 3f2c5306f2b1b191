"""The alluxio-s3 command."""
