"""The dashboard: pages of the admin port that show how the daemon is, live, and let a person look through its buckets."""
