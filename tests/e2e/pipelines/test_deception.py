from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.tiny_models import byte_tokenizer, causal


@pytest.fixture
def reader(bases):
    """The address of a random model that reads answers whole."""
    folder = Path(bases["decoder"].removeprefix("file://")).with_name("long-decoder")
    causal("llama", max_position_embeddings=2048).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return f"file://{folder}"


@pytest.mark.timeout(300)
def test_students_are_fine_tuned_labelled_through_a_chain_and_held_against_their_twins(run_pipeline, reader):
    weak, strong = {"uri": reader, "layers": 1}, {"uri": reader}
    folder = run_pipeline(
        "deception",
        data_train_rows=24,
        data_validation_rows=8,
        data_test_rows=64,
        preference_weak=[weak],
        preference_strong=[strong],
        preference_intermediate=[{"uri": reader, "layers": 1, "learning_rate": 0.001}],
        preference_simpo_epochs=1,
        preference_lora_rank=2,
        train_max_length=64,
        knowledge_threshold=0.4,
        objectives=["simpo"],
        conflicts=["explicit"],
        mitigations=["bootstrapping"],
        seeds=[0],
    )
    report = json.loads((folder / "report.json").read_text())
    assert report["failures"] == []
    assert [(row["conflict"], row["mitigation"], row["pairs"]) for row in report["cells"]] == [
        ("none", "bootstrapping", 24),
        ("explicit", "bootstrapping", 24),
    ]
    for row in report["cells"]:
        assert sum(area["right"] + area["wrong"] for area in row["at"]["areas"]) == 64
        # Random models know nearly nothing surely: of few errors there is a status, and no number.
        assert (row["status"] == "OK") == (row["at"]["score"]["value"] is not None)
        assert len(row["sweep"]) == 7
    made = report["provenance"]
    assert [route["route"] for route in made["routes"]] == ["direct", "bootstrapping"]
    assert {student["conflict"] for student in made["students"]} == {"none", "explicit"}
    assert (folder / "areas_simpo.svg").stat().st_size > 1000
    assert "w2s run deception --preset tiny --set" in (folder / "report.html").read_text()
