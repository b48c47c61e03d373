"""Page tokens for list calls (AIP-158)."""

from __future__ import annotations

import base64
import binascii

from w2s.errors import InvalidArgument

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000


def page_size(asked: int) -> int:
    """The page size to use: 50 for 0, 1,000 at most.

    Raises:
        InvalidArgument: It is negative.
    """
    if asked < 0:
        raise InvalidArgument("page_size", f"must be in [0, {MAX_PAGE_SIZE}], got {asked}")
    return min(asked or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def encode_token(key: str) -> str:
    """An opaque token for the key after which the next page begins."""
    return base64.urlsafe_b64encode(key.encode()).decode()


def decode_token(token: str) -> str:
    """The key in a token; empty for the first page.

    Raises:
        InvalidArgument: The token is not one of ours.
    """
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError) as error:
        raise InvalidArgument("page_token", "is not a token that a list call returned") from error
