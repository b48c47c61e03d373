"""Small inputs of runs: datasets, labels and models that are there to be read, and to be wrong."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA, EXAMPLES_SCHEMA, LABELS_SCHEMA, PAIRS_SCHEMA
from w2s.artifacts.tables import LabelRow, labels_table, write_completions, write_examples, write_labels, write_pairs

NAMES = ["no", "yes"]
IDS = ("0", "1", "2", "3")
TEACHER = ("teachers/a", "r1", "sha256:" + "a" * 64)
OTHER = ("teachers/b", "r2", "sha256:" + "b" * 64)


class Inputs:
    """Artifacts below a root, and models below another."""

    def __init__(self, root: Path, models: Path) -> None:
        self.store = ArtifactStore(str(root))
        self.models = models

    def examples(self, key: str, ids=IDS, names=NAMES, second="passage", **config) -> ArtifactRef:
        rows = [
            {"id": id_, "text": f"text {id_}", "text_pair": second and f"{second} {id_}", "label": n % 2}
            for n, id_ in enumerate(ids)
        ]
        with self._write("datasets", key, EXAMPLES_SCHEMA, {"label_names": names, **config}) as draft:
            write_examples(draft.path, rows)
        return draft.ref

    def pairs(self, key: str, ids=IDS) -> ArtifactRef:
        rows = [
            {"id": id_, "prompt": f"say {id_}", "first": " yes", "second": " no", "label": n % 2}
            for n, id_ in enumerate(ids)
        ]
        with self._write("datasets", key, PAIRS_SCHEMA, {"label_names": ["first", "second"]}) as draft:
            write_pairs(draft.path, rows)
        return draft.ref

    def completions(self, key: str, ids=IDS, kind="datasets", teachers=()) -> ArtifactRef:
        """Completions, of the teachers in turn or of nobody."""
        names = ("teacher", "teacher_revision", "teacher_digest")
        rows = [
            {
                "id": id_,
                "prompt": f"say {id_}",
                "completion": f" {id_}",
                **(dict(zip(names, teacher, strict=True)) if teacher else {}),
            }
            for id_, teacher in zip(ids, itertools.cycle(teachers or (None,)), strict=False)
        ]
        with self._write(kind, key, COMPLETIONS_SCHEMA, {}) as draft:
            write_completions(draft.path, rows)
        return draft.ref

    def labels(self, key: str, ids=IDS, failed=(), teachers=(TEACHER,), p=(0.3, 0.7), names=NAMES) -> ArtifactRef:
        """Labels of some ids, the teachers taking turns; those that failed have an error."""
        probabilities = np.array(p, np.float32)
        rows = [
            LabelRow(id_, error="too long") if id_ in failed else LabelRow(id_, np.log(probabilities), probabilities)
            for id_ in ids
        ]
        config = {} if names is None else {"label_names": names}
        with self._write("labels", key, LABELS_SCHEMA, config) as draft:
            write_labels(
                draft.path,
                [labels_table(rows[turn :: len(teachers)], teacher) for turn, teacher in enumerate(teachers)],
            )
        return draft.ref

    def table(self, kind: str, key: str, schema: str, name: str, table: pa.Table, **config) -> ArtifactRef:
        """An artifact with any table in it."""
        with self._write(kind, key, schema, config) as draft:
            pq.write_table(table, draft.path / name)
        return draft.ref

    def model(self, name: str, shapes=None, tokenizer=None, **config) -> str:
        """A model that tells of itself as it is told to, and its address."""
        folder = self.models / name
        write_model(folder, shapes, tokenizer, **config)
        return f"file://{folder}"

    def artifact_model(self, key: str, schema: str, run=None, **config) -> ArtifactRef:
        """The same in the artifact store, as if a run had made it."""
        with self._write("models", key, schema, {} if run is None else {"run": run}) as draft:
            write_model(draft.path, **config)
        return draft.ref

    def _write(self, kind, key, schema, config):
        return self.store.write(kind, key, data_schema=schema, config=config)


def write_model(folder: Path, shapes=None, tokenizer=None, **config) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architectures": ["BertModel"], "num_hidden_layers": 2, "max_position_embeddings": 128, **config}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer or {}))
    shapes = shapes or {"layer.0.query.weight": (4, 6), "layer.0.query.bias": (4,)}
    save_file({name: np.zeros(shape, np.float16) for name, shape in shapes.items()}, folder / "model.safetensors")


def sparse_weights(path: Path, size: int) -> None:
    """Makes a safetensors file one of two float16 tensors, one a layer, of so many bytes, which takes no space."""
    ends = (0, size // 2 * 2 - 2, size // 2 * 2)
    tensors = {
        f"layer.{layer}.query.weight": {"dtype": "F16", "shape": [(end - start) // 2], "data_offsets": [start, end]}
        for layer, (start, end) in enumerate(itertools.pairwise(ends))
    }
    header = json.dumps(tensors).encode()
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + size // 2 * 2)
