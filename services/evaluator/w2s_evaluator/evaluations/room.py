"""Where models run."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from w2s.models.features import FeatureCache
from w2s.models.runtime import pick_device
from w2s_evaluator.settings import EvaluatorSettings


@dataclass(frozen=True)
class Room:
    """What models run on.

    Attributes:
        device: The device.
        cache: Shares the work of frozen bodies.
        token_budget: Padded tokens a batch.
    """

    device: torch.device
    cache: FeatureCache
    token_budget: int

    @classmethod
    def of(cls, settings: EvaluatorSettings) -> Room:
        """As the settings say."""
        cache = FeatureCache(settings.cache_folder / "features")
        return cls(pick_device(settings.device), cache, settings.token_budget)
