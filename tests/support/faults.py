"""What tests of faults ask of a supervisor: small work whose result is the same bytes each time."""

from __future__ import annotations

from w2s.artifacts import ArtifactStore
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA, EXAMPLES_SCHEMA
from w2s.artifacts.tables import write_completions, write_examples
from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2 as pb

CLASSES = ["sports", "trade", "science"]
ANY = pb.ValidationGate(allow_other_labels=True)


def text(number: int) -> str:
    """A short text of its own for each number."""
    return f"text {number} of {number % 7} kinds"


def examples(count: int) -> list[common.Example]:
    """Texts as Label takes them."""
    return [common.Example(id=f"r{number}", text=text(number)) for number in range(count)]


def model_teacher(root: object, folder: str, **reading: object) -> pb.TeacherSpec:
    """A teacher that runs one of the models below a root, as a classifier unless said otherwise."""
    reading = reading or {"classifier": pb.ClassifierReading()}
    return pb.TeacherSpec(model=pb.ModelBackend(model=common.ModelRef(uri=f"file://{root}/{folder}"), **reading))


def examples_dataset(store: ArtifactStore, key: str, count: int, label_names: list[str]) -> common.DatasetRef:
    """A data set of such texts."""
    rows = [{"id": f"r{number}", "text": text(number), "label": 0} for number in range(count)]
    with store.write("datasets", key, data_schema=EXAMPLES_SCHEMA, config={"label_names": label_names}) as draft:
        write_examples(draft.path, rows)
    return common.DatasetRef(uri=draft.ref.uri, digest=draft.ref.digest)


def prompts_dataset(store: ArtifactStore, key: str, count: int) -> common.DatasetRef:
    """A data set of prompts, to be continued."""
    rows = [{"id": f"q{number}", "prompt": text(number), "completion": str(number)} for number in range(count)]
    with store.write("datasets", key, data_schema=COMPLETIONS_SCHEMA, config={}) as draft:
        write_completions(draft.path, rows)
    return common.DatasetRef(uri=draft.ref.uri, digest=draft.ref.digest)
