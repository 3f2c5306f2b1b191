"""Objects in whatever store the library fsspec knows."""
