"""The token of the admin port, as a file holds it."""

from __future__ import annotations

MIN_TOKEN_LENGTH = 16


def parse_token(text: str) -> bytes:
    """The token in a file: all of it but the space around. Raises ValueError, which does not show it."""
    token = text.strip()
    if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"the token must be one word of ASCII, {MIN_TOKEN_LENGTH} characters or more")
    return token.encode()
