"""What the reference of DPO says of pairs, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from w2s.models.scorer import CompletionScorer
from w2s.models.tensor_cache import TensorCache
from w2s_trainer.data import PreferenceExamples
from w2s_trainer.loop.scoring import outputs_of

# Thirty million pairs: two numbers of four bytes each.
_MAX_BYTES = 256 << 20


class Reference:
    """A model's log-probabilities of completions, before it is trained.

    Args:
        model: A completion scorer, on its device; its adapters are left out.
        digest: Of its weights without them.
        folder: Where log-probabilities are kept, those used last; several processes may share it.
        device: Where the model is.
        budget: Padded tokens of a batch.
        bfloat16: Computes in bfloat16 where that is safe, as training does.
    """

    def __init__(
        self, model: CompletionScorer, digest: str, folder: Path, device: torch.device, budget: int, *, bfloat16: bool
    ) -> None:
        self._model = model
        self._digest = digest
        self._cache = TensorCache(folder, _MAX_BYTES)
        self._device = device
        self._budget = budget
        self._bfloat16 = bfloat16

    def __call__(self, examples: PreferenceExamples) -> Tensor:
        """Summed log-probabilities of chosen and rejected completions, shape [N, 2], fp32, in nats."""
        key = self._key(examples)
        sums = self._cache.get(key)
        if sums is None:
            sums = self._compute(examples)
            self._cache.put(key, sums)
            self._cache.prune()
        return sums

    def _compute(self, examples: PreferenceExamples) -> Tensor:
        sums = torch.empty(len(examples.ids), 2)
        with self._model.without_adapters(), torch.autocast(self._device.type, torch.bfloat16, self._bfloat16):
            for rows, outputs, _ in outputs_of(self._model, examples, self._device, self._budget):
                sums[rows] = outputs.float().cpu().view(2, -1).T
        return sums

    def _key(self, examples: PreferenceExamples) -> str:
        """sha256 in hex over the reference and the very tokens that it reads, in their order."""
        config = self._model.config.to_json_string()
        said = f"{self._digest}/{config}/{self._device.type}/{self._bfloat16}/{self._budget}"
        digest = hashlib.sha256(said.encode())
        for pack in (examples.chosen, examples.rejected):
            digest.update(pack.offsets.tobytes())
            for name, column in sorted(pack.columns.items()):
                digest.update(name.encode())
                digest.update(column.tobytes())
        return digest.hexdigest()
