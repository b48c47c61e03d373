"""The base of settings that decide a result."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Settings that cannot change, with no field but those declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
