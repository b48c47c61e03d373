"""What holds for every task that ships."""

from __future__ import annotations

from collections import Counter

import pytest

from w2s.tasks import TASKS, list_tasks
from w2s.tasks.origins import HubOrigin


def test_every_kind_of_task_is_there_without_a_network():
    families = Counter(task.family for task in list_tasks(offline=True))
    assert set(families) >= {"nlp", "preference", "safety", "toxicity", "legal", "arithmetic"}
    forms = {task.conversion.kind for task in list_tasks(offline=True)}
    assert forms == {
        *("labelled", "relevance", "binary_choice", "scored"),
        *("preference", "crossed_pairs", "completion", "toxic_prompts"),
    }


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_columns_of_the_hub_that_nobody_saw_are_said_to_be_so(task):
    if isinstance(task.source, HubOrigin):
        assert task.source.verified or "not loaded here" in task.source.note
    assert task.title
    assert task.licence


def test_dimensions_of_one_design_share_their_splits():
    designs = Counter(task.split_as for task in TASKS.values() if task.split_as)
    assert designs == {"boolq_remarks": 2}
