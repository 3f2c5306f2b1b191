"""How much clients may take of the daemon, and what becomes of those that take more: ``gate`` is where to begin."""
