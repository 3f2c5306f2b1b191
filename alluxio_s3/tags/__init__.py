"""Where tags are kept."""
