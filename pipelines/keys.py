"""Content keys: the same work has the same id, whoever asks and however often."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def content_key(stage: str, *parts: Any) -> str:
    """A `request_id` for a step: 32 hex digits over the stage and all that decides its result.

    A retried step, and another run that needs the same, find the job that did it. Parts are
    JSON values; upstream artifacts go in by digest.
    """
    return hashlib.sha256(json.dumps([stage, *parts], sort_keys=True).encode()).hexdigest()[:32]
