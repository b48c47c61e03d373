"""The one place that decides which addresses below a root may be read or written."""

from __future__ import annotations

import re
from pathlib import Path

from w2s.errors import InvalidArgument

# What follows a root: plain names joined by single slashes. No dot-dot, percent sign,
# backslash, query, fragment, parameter or NUL can be written in these letters; a dot at
# the end, which some file systems drop, in this order.
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,253}[A-Za-z0-9_-])?")
# The longest path on Linux has 4096 bytes: the rest is for the root, and for a file below.
_LONGEST = 1024
KEY = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def normalize_root(root: str) -> str:
    """A root as a URI without a trailing slash; a plain path becomes an absolute `file://` one.

    Raises:
        InvalidArgument: The root is empty.
    """
    if not root.strip():
        raise InvalidArgument("artifact_root", "must be a folder or a URI such as s3://bucket/prefix")
    if "://" not in root:
        root = f"file://{Path(root).expanduser().resolve()}"
    return root.rstrip("/")


def confine(uri: str, root: str, field: str = "uri") -> str:
    """The part of `uri` below `root`, proven to stay there.

    Args:
        uri: An address from a caller.
        root: A root from `normalize_root`.
        field: The request field to name in the error.

    Raises:
        InvalidArgument: The address is not below the root, or is written in more than plain
            names, or a symbolic link leads out, or nowhere.
    """
    prefix = root + "/"
    below = uri[len(prefix) :] if uri.startswith(prefix) else ""
    if not is_plain(below):
        names = f"plain names (letters, digits, . _ -) of {_LONGEST} characters at most"
        raise InvalidArgument(field, f"must be {prefix} followed by {names}")
    if root.startswith("file://"):
        base = Path(root.removeprefix("file://")).resolve()
        if not is_within(base / below, base):
            raise InvalidArgument(field, f"leads out of {root}, or in circles, through a symbolic link")
    return below


def is_within(path: Path, base: Path) -> bool:
    """Whether a path is below a folder once links are followed; one that goes in circles is nowhere."""
    try:
        return path.resolve().is_relative_to(base)
    except RuntimeError:
        return False


def is_plain(path: str) -> bool:
    """Whether a path is plain names joined by single slashes, and so leads nowhere but down."""
    return len(path) <= _LONGEST and all(_NAME.fullmatch(part) for part in path.split("/"))


def check_key(key: str, field: str) -> str:
    """An id that becomes a path and a label: lower-case letters, digits and inner hyphens.

    Raises:
        InvalidArgument: It is anything else, or longer than 63.
    """
    if not KEY.fullmatch(key):
        raise InvalidArgument(
            field, "must be 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end"
        )
    return key
