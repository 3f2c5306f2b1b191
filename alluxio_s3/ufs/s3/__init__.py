"""The under-store on S3 and on every store that speaks as S3 does."""
