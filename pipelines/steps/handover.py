"""Results on their way to the steps that collect them: by reference.

KFP, on a cluster and here, gives a step its whole input as one argument of a command, which
Linux limits to 128 KiB; the results of a hundred students are more. References to 600 of them fit.
"""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.keys import content_key
from pipelines.steps.guard import step
from pipelines.steps.items import Json
from pipelines.steps.keep import keep
from w2s.artifacts import ArtifactStore
from w2s.client import artifact_root

RESULT_SCHEMA = "w2s.result/1"
_FILE = "result.json"


@step
def hand_over(result: Json) -> Json:
    """Keeps a step's result in the artifact store.

    Returns:
        Its reference: uri and digest.

    Raises:
        W2SError: The store cannot be written.
    """

    def write(folder: Path) -> None:
        (folder / _FILE).write_text(json.dumps(result, sort_keys=True))

    store, key = ArtifactStore(artifact_root()), content_key("result", result)
    return keep(store, key, RESULT_SCHEMA, [], write, config={}, kind="results")


@step
def received(references: list[Json]) -> list[Json]:
    """The results that references are to, verified, in their order.

    Raises:
        NotFound, FailedPrecondition, DataLoss: A result is gone, is another one, or is damaged.
    """
    store = ArtifactStore(artifact_root())
    files = (store.read(**reference, field="result").path / _FILE for reference in references)
    return [json.loads(file.read_text()) for file in files]
