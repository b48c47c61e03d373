"""Checks of labels against the dataset that they are for."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from w2s.artifacts import ArtifactStore
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA, LABELS_SCHEMA
from w2s.errors import InvalidArgument
from w2s_trainer.admission.datasets import Datasets, label_names
from w2s_trainer.admission.stored import Stored, find
from w2s_trainer.spec import RunSpec

FIELD = "run.spec.labels"


def check_labels(store: ArtifactStore, spec: RunSpec, datasets: Datasets) -> None:
    """Checks that labels are one teacher's, and enough for what they are read for.

    Raises:
        InvalidArgument: They are not.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.manifest`.
    """
    if spec.labels is None:
        return
    # The hops come first: they are what reads the labels.
    dataset = datasets.stages[0]
    completions = dataset.schema == COMPLETIONS_SCHEMA
    if completions and spec.filter is not None:
        raise InvalidArgument("run.spec.filter", "needs labels that are probabilities, and completions have none")
    schema = COMPLETIONS_SCHEMA if completions else LABELS_SCHEMA
    labels = find(store, spec.labels, (schema,), FIELD, f"a dataset of {dataset.schema}")
    if not completions:
        _same_classes(labels, dataset)
    table = labels.columns(["id", "teacher", "teacher_digest", *([] if completions else ["error", "confidence"])])
    good = table if completions else table.filter(pc.is_null(table["error"]))
    if not spec.allow_mixed_teachers:
        _one_teacher(good)
    _cover(table, good, dataset, spec)


def _filters(spec: RunSpec) -> bool:
    """Whether the labels alone tell what the confidence filter leaves."""
    return spec.filter is not None and not spec.filter.oracle and not spec.hops and not spec.mixed_datasets


def _same_classes(labels: Stored, dataset: Stored) -> None:
    names = label_names(dataset)
    recorded = labels.manifest.config.get("label_names")
    if names and recorded is not None and tuple(recorded) != names:
        raise InvalidArgument(FIELD, f"are of classes {', '.join(recorded)}, the dataset of {', '.join(names)}")
    classes, first = len(names) or 2, labels.first("probabilities")
    if first is not None and len(first) != classes:
        raise InvalidArgument(FIELD, f"have {len(first)} classes, the dataset {classes}")


def _one_teacher(good: pa.Table) -> None:
    # Completions that people wrote have no teacher.
    taught = good.filter(pc.is_valid(good["teacher_digest"]))
    teachers = taught.group_by(["teacher", "teacher_digest"]).aggregate([]).to_pylist()
    if len({teacher["teacher_digest"] for teacher in teachers}) > 1:
        listed = sorted(f"{teacher['teacher']} ({teacher['teacher_digest']})" for teacher in teachers)
        raise InvalidArgument(
            FIELD,
            f"are of {len(listed)} teachers: {', '.join(listed[:4])}{', ...' if len(listed) > 4 else ''}; "
            "label with one, or set allow_mixed_teachers",
        )


def _cover(table: pa.Table, good: pa.Table, dataset: Stored, spec: RunSpec) -> None:
    ids = dataset.columns(["id"])["id"]
    labelled = pc.is_in(ids, value_set=good["id"].combine_chunks())
    missing = ids.filter(pc.invert(labelled))
    if len(missing) == len(ids):
        raise InvalidArgument(FIELD, f"none of the {len(ids)} examples of the dataset has one{_why(table, missing)}")
    if len(missing) and not spec.skip_unlabeled:
        raise InvalidArgument(
            FIELD,
            f"{len(missing)} of the {len(ids)} examples of the dataset have none{_why(table, missing)}; label them, "
            "or set skip_unlabeled",
        )
    if spec.filter is not None and _filters(spec):
        used = good.filter(pc.is_in(good["id"], value_set=ids.combine_chunks()))
        surest = pc.max(used["confidence"]).as_py()
        if surest < spec.filter.threshold:
            raise InvalidArgument("run.spec.filter.threshold", f"leaves no example: the surest label has {surest:.4g}")


def _why(table: pa.Table, missing: pa.ChunkedArray) -> str:
    """One of the examples without a label, and why where that is known."""
    id_ = missing[0].as_py()
    if "error" not in table.column_names:
        return f", such as {id_}"
    reasons = table["error"].filter(pc.equal(table["id"], id_)).to_pylist()
    return f", such as {id_}{f' ({reasons[0]})' if reasons else ''}"
