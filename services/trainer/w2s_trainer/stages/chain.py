"""Bootstrapping: what a hop's model says becomes the labels of what comes next."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from w2s.artifacts import ArtifactRef, Parent
from w2s.artifacts.schemas import LABELS_SCHEMA
from w2s.artifacts.tables import CompletionDataset, LabelRow, labels_table, softmax, write_labels
from w2s_trainer.loop.scoring import outputs_of
from w2s_trainer.spec import Dpo, Kind, Objective
from w2s_trainer.stages.desk import Desk
from w2s_trainer.stages.stage import Trained
from w2s_trainer.stages.supervised import Supervised

# The published scale of a margin of summed log-probabilities, in nats.
_SUM_SCALE = 50.0


def class_logits(outputs: Tensor, counts: Tensor | None, objective: Objective) -> Tensor:
    """What a model says of each example, as logits.

    Of a classifier z, as it is. Of pairs [m, 0], so that the first is preferred with the
    probability s(m): m = r_1 - r_2 of a reward model, S_1/n_1 - S_2/n_2 of a language model
    trained on means (SimPO, ORPO, length-normalised DPO), and (S_1 - S_2) / 50 of one trained
    on sums, without the reference.

    Source: Yang et al. 2024, "Super(ficial)-alignment", and its code,
    keven980716/weak-to-strong-deception, train_simpo.py and train_dpo.py (the 50).

    Args:
        outputs: Logits [B, C], rewards [2B, 1], or log-probabilities [2B].
        counts: Tokens of the completions, shape [B, 2]; for language models.
        objective: What the model was trained for.

    Returns:
        Shape [B, C], fp32.
    """
    if objective.kind is Kind.CLASSIFIER:
        return outputs.float()
    first, second = outputs.float().flatten().chunk(2)
    if counts is not None:
        sums = isinstance(objective.loss, Dpo) and not objective.loss.length_normalized
        scale = torch.full_like(counts, _SUM_SCALE) if sums else counts
        first, second = first / scale[:, 0], second / scale[:, 1]
    return torch.stack([first - second, torch.zeros_like(first)], dim=-1)


def label(trained: Trained, objective: Objective, data: Supervised, desk: Desk, hop: int, model: ArtifactRef) -> None:
    """Writes a hop's labels of a dataset as `labels/<run>-hop-<n>`; every process of the run takes part.

    Args:
        trained: The hop's model.
        objective: What it was trained for.
        data: What is labelled; its own labels are not looked at.
        desk: Where to write.
        hop: The hop's number, from 0.
        model: The hop's model as it is stored.
    """
    assert not isinstance(data.table, CompletionDataset)
    key = f"{desk.run_id}-hop-{hop}"
    logits = _logits(trained, objective, data, desk)
    if not desk.first:
        return
    probabilities = softmax(logits)
    rows = [
        LabelRow(id_, logits=row, probabilities=shares)
        for id_, row, shares in zip(data.table.ids, logits, probabilities, strict=True)
    ]
    config = {"run": desk.run_id, "hop": hop, "label_names": data.table.label_names}
    with desk.store.write(
        "labels",
        key,
        data_schema=LABELS_SCHEMA,
        config=config,
        parents=[*data.parents, Parent(role="model", uri=model.uri, digest=model.digest)],
    ) as draft:
        write_labels(draft.path, [labels_table(rows, (f"runs/{desk.run_id}", key, model.digest))])


def _logits(trained: Trained, objective: Objective, data: Supervised, desk: Desk) -> NDArray[np.float32]:
    found: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(data.table)
    examples = trained.encode(data.blind())
    for rows, outputs, targets in outputs_of(
        trained.trainable.module, examples, desk.device, desk.settings.token_budget
    ):
        for row, logits in zip(
            rows, class_logits(outputs, targets.get("counts"), objective).cpu().numpy(), strict=True
        ):
            found[row] = logits
    return np.stack(found)
