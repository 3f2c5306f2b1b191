"""The workers beside this one: who they are, and who holds what."""
