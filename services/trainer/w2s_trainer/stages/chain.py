"""Bootstrapping: what a hop's model says becomes the labels of what comes next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from w2s.artifacts import ArtifactRef, Parent
from w2s.artifacts.schemas import LABELS_SCHEMA
from w2s.artifacts.tables import CompletionDataset, LabelRow, labels_table, softmax, write_labels
from w2s.jobs import Progress
from w2s.models.checkpoint import load
from w2s.models.classifier import Classifier
from w2s.models.scorer import CompletionScorer
from w2s.models.spec import BaseRef, ModelSpec
from w2s.models.trainable import build_language_model
from w2s_trainer.loop.scoring import outputs_of
from w2s_trainer.spec import Dpo, Kind, Objective
from w2s_trainer.stages.desk import Desk
from w2s_trainer.stages.stage import Stage, encoder
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


def label(stage: Stage, data: Supervised, desk: Desk, hop: int, model: ArtifactRef) -> None:
    """Writes a hop's labels of a dataset as `labels/<run>-hop-<n>`; every process of the run takes part.

    They are what the model says as it is stored, so that the digest that they name is of what made them.

    Args:
        stage: What the hop's model was trained by.
        data: What is labelled; its own labels are not looked at.
        desk: Where to write.
        hop: The hop's number, from 0.
        model: The hop's model as it is stored.
    """
    assert not isinstance(data.table, CompletionDataset)
    desk.send(Progress("label"))
    key = f"{desk.run_id}-hop-{hop}"
    logits = _logits(stage, model, data, desk)
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


def _logits(stage: Stage, model: ArtifactRef, data: Supervised, desk: Desk) -> NDArray[np.float32]:
    module, tokenizer = _stored(stage, model, desk)
    nn.Module.to(module, desk.device)
    examples = encoder(stage, module, tokenizer, desk)(data.blind())
    found: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(data.table)
    with torch.autocast(desk.device.type, torch.bfloat16, desk.course(stage.training).bfloat16):
        for rows, outputs, targets in outputs_of(module, examples, desk.device, desk.settings.token_budget):
            logits = class_logits(outputs, targets.get("counts"), stage.objective).cpu().numpy()
            for row, said in zip(rows, logits, strict=True):
                found[row] = said
    return np.stack(found)


def _stored(
    stage: Stage, model: ArtifactRef, desk: Desk
) -> tuple[Classifier | CompletionScorer, PreTrainedTokenizerBase]:
    base = BaseRef(uri=model.uri, digest=model.digest)
    weights = desk.sources.resolve(base, "hops")
    if stage.objective.kind is Kind.LANGUAGE_MODEL:
        whole = build_language_model(ModelSpec(base=base, max_length=stage.model.max_length), weights)
        return whole.module, whole.tokenizer
    checkpoint = load(Path(weights.location), "hops")
    return checkpoint.model, checkpoint.tokenizer
