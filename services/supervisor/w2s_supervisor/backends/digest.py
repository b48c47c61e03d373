"""What tells teachers apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def digest_of(content: Mapping[str, object]) -> str:
    """`sha256:` and 64 hex digits over JSON content, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
