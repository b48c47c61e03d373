from __future__ import annotations

from types import SimpleNamespace

import pytest
from helpers.run_inputs import Inputs

from w2s_trainer.spec import RunSpec
from w2s_trainer.worker.execute import _Run


@pytest.fixture
def inputs(tmp_path):
    return Inputs(tmp_path / "artifacts", tmp_path / "models")


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("kind", ["completions", "pairs"])
def test_text_of_the_run_itself_is_read_once(inputs, monkeypatch, kind, labelled):
    """Labels that are completions stand in for the dataset's own; others say nothing of its text."""
    dataset = getattr(inputs, kind)("own")
    labels = (
        inputs.completions("said", ids=("0", "1"), kind="labels") if kind == "completions" else inputs.labels("said")
    )
    spec = RunSpec(
        model={"base": {"uri": "pkg://none/model"}},
        dataset=dataset,
        labels=labels if labelled else None,
        skip_unlabeled=True,
        objective={"sft": {}} if kind == "completions" else {"dpo": {}},
        generative_first={},
    )
    reads, read = [], inputs.store.read
    monkeypatch.setattr(
        inputs.store, "read", lambda uri, *rest, **named: reads.append(uri) or read(uri, *rest, **named)
    )

    text = _Run(SimpleNamespace(store=inputs.store), spec)._text(spec.generative_first)

    replaced = kind == "completions" and labelled
    assert reads == [dataset.uri, *([labels.uri] if replaced else [])]
    assert (len(text.table), text.unlabeled) == ((2, 2) if replaced else (4, 0))
