"""What the pipelines' steps do: thin clients of the three services, shared by every paper.

Every step is idempotent: its jobs have content keys, so a retried pod finds its own job. A
step that fails ends its pipeline, save one whose item says that it `may_fail`: a method under
study. Its failure is its result, `{"status": "failed", "reason": ...}`, which is reported.
"""

from pipelines.steps.assess import assess
from pipelines.steps.compare import compare
from pipelines.steps.evaluate import evaluate, measure
from pipelines.steps.generate import generate
from pipelines.steps.guard import FAILED, SUCCEEDED, step
from pipelines.steps.items import Json, as_json, succeeded, training_item
from pipelines.steps.label import label
from pipelines.steps.prepare import prepare
from pipelines.steps.teach import teach, teacher_id, teacher_spec
from pipelines.steps.train import train

__all__ = [
    "FAILED",
    "SUCCEEDED",
    "Json",
    "as_json",
    "assess",
    "compare",
    "evaluate",
    "generate",
    "label",
    "measure",
    "prepare",
    "step",
    "succeeded",
    "teach",
    "teacher_id",
    "teacher_spec",
    "train",
    "training_item",
]
