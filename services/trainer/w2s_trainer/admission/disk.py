"""Whether a run's files find room."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from w2s.artifacts import ArtifactStore
from w2s.errors import ResourceExhausted
from w2s.models.spec import ModelSpec
from w2s_trainer.admission.models import Base

_GIB = 2**30
_FLOAT_BYTES = 4
_RETRY_S = 60.0


def check_disk(store: ArtifactStore, models: Sequence[tuple[ModelSpec, Base]], checkpoints: int) -> None:
    """Checks that what a run keeps fits below the artifact root, where that is a local folder.

    Args:
        store: The artifact store.
        models: Those of the hops and of the run, with their bases.
        checkpoints: Checkpoints that are kept of a stage.

    Raises:
        ResourceExhausted: It does not.
    """
    if not store.root.startswith("file://"):
        return
    needed = bytes_needed(models, checkpoints)
    free = shutil.disk_usage(_existing(Path(store.root.removeprefix("file://")))).free
    if needed > free:
        raise ResourceExhausted(
            f"the run needs about {needed / _GIB:.1f} GiB below {store.root}, and {free / _GIB:.1f} GiB are free; "
            "free some, keep fewer checkpoints (keep_checkpoints), or train less of the model (model.lora)",
            _RETRY_S,
        )


def bytes_needed(models: Sequence[tuple[ModelSpec, Base]], checkpoints: int) -> int:
    """What a run keeps at most: every stage's model, and checkpoints of one stage at a time.

    A checkpoint holds the weights that train, and AdamW's two moments of each; while one is
    written, those that are kept are still there.
    """
    finished = sum(base.weights or 0 for _, base in models)
    return finished + (checkpoints + 1) * max(3 * _trainable(model, base) for model, base in models)


def _trainable(model: ModelSpec, base: Base) -> int:
    """Bytes of the weights that train, in float32; heads are next to nothing."""
    weights = base.weights or 0
    if model.linear_probe:
        return 0
    if model.lora is not None:
        return _FLOAT_BYTES * _adapters(model.lora.rank, model.lora.target_modules, base)
    layers = base.layers if model.layers is None else model.layers
    if not model.train_from_layer and layers != 0:
        return weights
    if not layers:
        return 0
    return weights * (layers - model.train_from_layer) // layers


def _adapters(rank: int, targets: Sequence[str], base: Base) -> int:
    """Numbers in a rank's two factors of every matrix that is adapted: r x (rows + columns)."""
    matrices = [(name, shape) for name, shape in base.shapes.items() if len(shape) == 2]
    if targets:
        endings = tuple(f".{target}.weight" for target in targets)
        matrices = [(name, shape) for name, shape in matrices if f".{name}".endswith(endings)]
    return sum(rank * sum(shape) for _, shape in matrices)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
