"""A small classifier over features, which the loop trains in milliseconds, in one process or in several."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from w2s.artifacts import ArtifactStore
from w2s.objectives import confidence_targets, row_cross_entropy
from w2s_trainer.loop.checkpoints import Checkpoints
from w2s_trainer.loop.contract import Micro
from w2s_trainer.loop.course import Course
from w2s_trainer.loop.fit import fit


class Words:
    """Sequences of one repeated feature each, padded: a row's length is how often it is repeated."""

    sequences = 1

    def __init__(self, features, targets, lengths):
        self.features, self.targets, self.lengths = features, targets, lengths
        self.token_counts = lengths
        self.ids = [f"row-{index}" for index in range(len(features))]

    def micro(self, rows):
        width = max(self.lengths[row] for row in rows)
        mask = torch.tensor([[float(t < self.lengths[row]) for t in range(width)] for row in rows])
        features = self.features[rows][:, None].expand(-1, width, -1) * mask[..., None]
        return Micro({"features": features, "mask": mask}, {"targets": self.targets[rows]})


class Reader(nn.Module):
    """Means over what the mask shows, dropout, and two layers."""

    def __init__(self, width, classes, dropout=0.0):
        super().__init__()
        self.body = nn.Linear(width, 8)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, classes)

    def forward(self, features, mask):
        mean = (features * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.head(self.dropout(torch.tanh(self.body(mean))))


class CrossEntropy:
    whole_batch = False

    def weights(self, targets):
        return torch.ones(len(targets["targets"]))

    def prepare(self, outputs, targets, progress):
        return {}

    def terms(self, outputs, targets, progress):
        return {"cross_entropy": row_cross_entropy(outputs, targets["targets"])}

    def measures(self, outputs, targets):
        return {"label_accuracy": (outputs.argmax(1) == targets["targets"].argmax(1)).float()}


class Confidence(CrossEntropy):
    """The auxiliary confidence loss at full weight: its targets need the whole batch."""

    whole_batch = True

    def prepare(self, outputs, targets, progress):
        self.seen = len(outputs)
        return {"mixed": confidence_targets(outputs, targets["targets"], 0.5)}

    def terms(self, outputs, targets, progress):
        return {"confidence": row_cross_entropy(outputs, targets["mixed"])}


class Calm:
    """Asks for nothing, or for a checkpoint after each step, or to stop at one."""

    def __init__(self, save=False, stop_at=None):
        self._save, self._stop_at, self.asked = save, stop_at, 0

    def stop_requested(self):
        self.asked += 1
        return self.asked == self._stop_at

    def save_due(self):
        return self._save


def words(rows=50, classes=2, seed=0):
    """Rows whose class their features tell."""
    rng = np.random.default_rng(seed)
    features = torch.tensor(rng.normal(size=(rows, 5)), dtype=torch.float32)
    labels = (features[:, 0] > 0).long() + (features[:, 1] > 0.5).long() * (classes > 2)
    return Words(features, nn.functional.one_hot(labels, classes).float(), rng.integers(1, 9, rows).tolist())


def course(**changes):
    settings = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "head_learning_rate": 0.02, **changes}
    return Course(**settings)


def checkpoints(folder, name="run", keep=2, node=""):
    """Where a training keeps its state; each node has a scratch folder of its own."""
    workspace = ArtifactStore(str(folder / "store")).workspace("models", name)
    return Checkpoints(workspace, "main", keep, folder / f"scratch{node}" / name)


def train(kept, examples, criterion, course, *, control=None, dropout=0.0, **options):
    """Trains a fresh reader and returns it with its outcome and what was reported."""
    torch.manual_seed(7)
    model = Reader(5, examples.targets.shape[1], dropout)
    said = []
    outcome = fit(
        model,
        list(model.head.parameters()),
        examples,
        criterion,
        course,
        device=torch.device("cpu"),
        checkpoints=kept,
        control=control or Calm(),
        report=lambda *args: said.append(args),
        **options,
    )
    return model, outcome, said
