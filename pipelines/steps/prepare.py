"""Makes the datasets of an experiment."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.keys import content_key
from pipelines.steps.guard import step
from pipelines.steps.items import Json
from pipelines.steps.select import select
from w2s.artifacts import ArtifactStore
from w2s.client import artifact_root
from w2s.tasks import SplitSizes, get_task, write_splits


@step
def prepare(task: str, sizes: Json, seeds: Sequence[float], slices: Json | None = None) -> Json:
    """Writes a task's splits for each seed.

    Args:
        task: Its name in the registry.
        sizes: Rows of each split; see `SplitSizes`.
        seeds: Each has its own splits, but for one test split.
        slices: The slice that is kept of a split of completions, by the split's name; all of it where there is none.

    Returns:
        The datasets' references by split, by seed.
    """
    found, rows, store = get_task(task), SplitSizes.model_validate(sizes), ArtifactStore(artifact_root())
    datasets = {}
    for seed in map(int, seeds):
        key = content_key("prepare", found.name, found.version, rows.model_dump(), seed)
        refs = write_splits(store, found, rows, seed, key)
        print(f"seed {seed}: {', '.join(sorted(refs))} in {store.root}", flush=True)
        datasets[str(seed)] = {
            name: select(store, ref, slices[name]) if slices and name in slices else ref.model_dump()
            for name, ref in refs.items()
        }
    return datasets
