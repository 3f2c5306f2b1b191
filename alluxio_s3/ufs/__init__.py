"""Under-stores: what holds the bytes."""
