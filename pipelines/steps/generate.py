"""Has a teacher write completions, through the supervisor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from pipelines.keys import content_key
from pipelines.progress import format_line
from pipelines.steps.guard import step
from pipelines.steps.items import Json, from_json, normalised
from pipelines.steps.keep import keep_dataset
from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.manifest import Parent
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA
from w2s.artifacts.tables import CompletionDataset, parent, read_completions, write_completions
from w2s.client import Endpoints, artifact_root, connect
from w2s.common.v1 import common_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc

_TIMEOUT_S = 600.0
# Calls at once, which the supervisor batches; and prompts whose completions are kept together.
_STREAMS = 8
_CHUNK = 32


@step
def generate(item: Json, teacher: Json) -> Json:
    """Has the teacher complete the prompts of an item's `dataset`, pinned to its digest.

    The item's `generation` is a GenerateRequest without prompt and teacher. What is done is kept,
    so that a retried step goes on with the prompts that are left.

    Returns:
        The completions' reference: a row for each sample, with its teacher. Of several samples
        a row's id is the prompt's, `#` and the sample's number.
    """
    store = ArtifactStore(artifact_root())
    prompts = read_completions(store, ArtifactRef(**item["dataset"]))
    request = from_json(item["generation"], supervisor_pb2.GenerateRequest())
    request.teacher, request.required_digest = teacher["teacher"], teacher["digest"]
    key = content_key("generate", prompts.ref.digest, normalised(request), item["nonce"])
    spec = from_json(item["teacher"], supervisor_pb2.TeacherSpec())
    made_by = Parent(role="teacher", uri=spec.model.model.uri or teacher["teacher"], digest=teacher["digest"])
    return keep_dataset(
        store,
        key,
        COMPLETIONS_SCHEMA,
        [parent("prompts", prompts), made_by],
        lambda path: write_completions(path, list(_rows(store, key, item["item"], prompts, request))),
        config={"generation": item["generation"], "teacher": teacher["teacher"]},
        seed=request.seed if request.HasField("seed") else None,
    )


def _rows(
    store: ArtifactStore, key: str, item: str, prompts: CompletionDataset, request: supervisor_pb2.GenerateRequest
) -> Iterator[Json]:
    """The rows of all prompts, in their order, chunk by chunk."""
    kept = store.workspace("datasets", key)
    with connect(Endpoints.from_environment().supervisor) as channel, ThreadPoolExecutor(_STREAMS) as pool:
        supervisor = supervisor_pb2_grpc.SupervisorServiceStub(channel)

        def write(index: int) -> list[Json]:
            return _complete(supervisor, prompts, index, request)

        for start in range(0, len(prompts), _CHUNK):
            content = kept.read(f"{start}.json")
            if content is None:
                chunk = range(start, min(start + _CHUNK, len(prompts)))
                content = json.dumps([row for rows in pool.map(write, chunk) for row in rows]).encode()
                kept.write(f"{start}.json", content)
            yield from json.loads(content)
            done = pb.Progress(stage="generate", step=min(start + _CHUNK, len(prompts)), total_steps=len(prompts))
            print(format_line(item, done), flush=True)


def _complete(
    supervisor: supervisor_pb2_grpc.SupervisorServiceStub,
    prompts: CompletionDataset,
    index: int,
    request: supervisor_pb2.GenerateRequest,
) -> list[Json]:
    """The rows of one prompt, one a sample."""
    samples = max(1, request.samples)
    texts, by = [""] * samples, pb.TeacherVersion()
    asked = supervisor_pb2.GenerateRequest()
    asked.CopyFrom(request)
    asked.prompt = prompts.prompts[index]
    if asked.HasField("seed"):
        # A seed of its own for each prompt: equal draws for all would be no sample of them.
        asked.seed = (asked.seed + index) % 2**32
    for part in supervisor.Generate(asked, timeout=_TIMEOUT_S):
        texts[part.sample] += part.text
        by = part.teacher
    return [
        {
            "id": prompts.ids[index] if samples == 1 else f"{prompts.ids[index]}#{sample}",
            "prompt": prompts.prompts[index],
            "completion": text,
            "teacher": by.teacher,
            "teacher_revision": by.revision,
            "teacher_digest": by.digest,
            "slice": prompts.slices[index] if prompts.slices else None,
        }
        for sample, text in enumerate(texts)
    ]
