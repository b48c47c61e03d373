"""What an implicit conflict mixes in shares no prompt with the test split."""

from __future__ import annotations

from pipelines.deception.mixed import apart_from_test
from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import PAIRS_SCHEMA
from w2s.artifacts.tables import read_pairs, write_pairs


def written(store, key, prompts):
    rows = [
        {"id": f"{key}-{n}", "prompt": prompt, "first": "a", "second": "b", "label": n % 2, "slice": "conflict"}
        for n, prompt in enumerate(prompts)
    ]
    with store.write("datasets", key, data_schema=PAIRS_SCHEMA, config={}) as draft:
        write_pairs(draft.path, rows)
    return draft.ref.model_dump()


def test_prompts_of_the_test_split_are_left_out(tmp_path):
    store = ArtifactStore(str(tmp_path))
    datasets = {"0": {"test": written(store, "test", ["Is it far?", "Why"])}}
    mixed = {
        "0": {
            "weak_train": written(store, "one", ["how", "is  IT far?", "when"]),
            "transfer": written(store, "two", ["who"]),
        }
    }
    found = apart_from_test(store, mixed, datasets)
    kept = read_pairs(store, ArtifactRef(**found["0"]["weak_train"]))
    assert (kept.ids, kept.prompts) == (["one-0", "one-2"], ["how", "when"])
    assert (kept.labels.tolist(), kept.slices) == ([0, 0], ["conflict", "conflict"])
    assert kept.manifest.config["left_out"] == 1
    # What shares nothing stays what it is.
    assert found["0"]["transfer"] == mixed["0"]["transfer"]
    assert apart_from_test(store, mixed, datasets) == found
