"""From buckets and keys to under-stores and paths."""
