"""What a plan costs, before anything runs: an upper bound by counting, not a measurement.

A forward pass of one text through one model is the unit. A training pass counts as three: the
backward pass is about two forward ones (Kaplan et al. 2020, section 2.1). A frozen body runs
once for each text, however many epochs, since the trainer keeps its features. Tokens are
forwards times the length that texts are cut to, so shorter texts cost less.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.plans import Model

_TRAINING_PASS = 3


@dataclass(frozen=True)
class Work:
    """Work of one kind.

    Attributes:
        step: What is done.
        model: The model's title; empty where none runs.
        times: How often.
        rows: Rows that are read each time.
        passes: Forward passes for each row.
        max_length: Tokens a text is cut to.
    """

    step: str
    model: str
    times: int
    rows: int
    passes: int = 1
    max_length: int = 0

    @property
    def forwards(self) -> int:
        """Forward passes in all."""
        return self.times * self.rows * self.passes if self.model else 0

    @property
    def tokens(self) -> int:
        """Tokens that go through a model, at most."""
        return self.forwards * self.max_length


def training_passes(model: Model, epochs: int, frozen: bool = False) -> int:
    """Forward passes a row that training a model costs.

    Args:
        model: The model.
        epochs: Passes over the data.
        frozen: Its body is frozen whatever the model says of itself.
    """
    return 1 if frozen or model.layers == model.train_from_layer else _TRAINING_PASS * epochs
