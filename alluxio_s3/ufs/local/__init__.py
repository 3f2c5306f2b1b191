"""A local or NFS directory as an under-store."""
