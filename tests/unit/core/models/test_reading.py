from __future__ import annotations

import pytest
from pydantic import ValidationError

from w2s.models.prompts import PromptTemplate
from w2s.models.spec import ClassifierReading, LanguageModelReading, RewardReading

PROMPT = PromptTemplate(template="{text}?", answers=("y", "n"), label_names=("yes", "no"))


def test_readings_are_values_and_can_be_keys():
    readings = [ClassifierReading(), RewardReading(), LanguageModelReading(prompt=PROMPT)]
    again = [ClassifierReading(), RewardReading(), LanguageModelReading(prompt=PROMPT.model_copy())]
    assert set(readings) == set(again)
    assert len(set(readings)) == 3


@pytest.mark.parametrize(
    "fields",
    [{"label_names": ("a", "a")}, {"label_names": ("a", "")}, {"max_length": -1}, {"max_length": 32769}, {"other": 1}],
)
def test_a_classifiers_names_are_distinct_and_its_length_is_bounded(fields):
    with pytest.raises(ValidationError):
        ClassifierReading(**fields)
