"""A task of the evaluation harness on rows of our own."""

from __future__ import annotations

import json
from pathlib import Path

DOCS = [
    {"question": f"{a} and {b}:", "choices": [f" {a + b}", f" {a * b}", " none"], "gold": n % 3}
    for n, (a, b) in enumerate([(1, 2), (3, 4), (5, 6), (2, 7), (8, 3), (9, 9)])
]
_TASK = """task: tiny_sums
dataset_path: json
dataset_kwargs:
  data_files:
    test: FILE
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: gold
target_delimiter: ""
metric_list:
  - metric: acc
"""


def write_task(folder: Path) -> Path:
    """A folder of task files with the task `tiny_sums`, of six questions."""
    folder.mkdir()
    data = folder.parent / "sums.jsonl"
    data.write_text("".join(json.dumps(doc) + "\n" for doc in DOCS))
    (folder / "sums.yaml").write_text(_TASK.replace("FILE", str(data)))
    return folder
