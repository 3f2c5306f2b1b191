"""What there is to know of a daemon's buckets and cache, told the same by commands and by the dashboard; and the dashboard, built."""
