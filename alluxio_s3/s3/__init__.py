"""The S3 protocol: pure functions and values, no I/O, no Twisted."""
