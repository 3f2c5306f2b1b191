"""What makes ``twistd alluxio-s3`` known."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

alluxio_s3 = ServiceMaker("Alluxio S3", "alluxio_s3.tap", "The S3 API of an Alluxio worker.", "alluxio-s3")
