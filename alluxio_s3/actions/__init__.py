"""One class per S3 action; none knows Twisted's web server."""
