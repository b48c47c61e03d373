"""Has a teacher write completions, through the supervisor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from pipelines.keys import content_key
from pipelines.progress import format_line
from pipelines.steps.guard import step
from pipelines.steps.items import Json, from_json, normalised
from pipelines.steps.keep import keep
from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.manifest import Parent
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA
from w2s.artifacts.tables import CompletionDataset, parent, read_completions, write_completions
from w2s.client import Endpoints, artifact_root, connect
from w2s.common.v1 import common_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc

_TIMEOUT_S = 3600.0
# What one call asks for at most: continuations, tokens of all of them, and characters of prompts.
_CONTINUATIONS, _TOKENS, _CHARACTERS = 64, 1 << 15, 500_000


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
    return keep(
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
    with connect(Endpoints.from_environment().supervisor) as channel:
        supervisor = supervisor_pb2_grpc.SupervisorServiceStub(channel)
        for chunk in _chunks(prompts.prompts, request):
            content = kept.read(f"{chunk.start}.json")
            if content is None:
                content = json.dumps(_complete(supervisor, prompts, chunk, request)).encode()
                kept.write(f"{chunk.start}.json", content)
            yield from json.loads(content)
            done = pb.Progress(stage="generate", step=chunk.stop, total_steps=len(prompts))
            print(format_line(item, done), flush=True)


def _chunks(prompts: Sequence[str], request: supervisor_pb2.GenerateRequest) -> Iterator[range]:
    """Prompts that are asked for together: which ones depends on nothing but them and the request."""
    samples = max(1, request.samples)
    most = max(1, min(_CONTINUATIONS, _TOKENS // max(1, request.max_new_tokens)) // samples)
    start, characters = 0, 0
    for index, prompt in enumerate(prompts):
        if index > start and (index - start == most or characters + len(prompt) > _CHARACTERS):
            yield range(start, index)
            start, characters = index, 0
        characters += len(prompt)
    yield range(start, len(prompts))


def _complete(
    supervisor: supervisor_pb2_grpc.SupervisorServiceStub,
    prompts: CompletionDataset,
    chunk: range,
    request: supervisor_pb2.GenerateRequest,
) -> list[Json]:
    """The rows of some prompts, one a sample."""
    samples = max(1, request.samples)
    texts, by = [[""] * samples for _ in chunk], pb.TeacherVersion()
    asked = supervisor_pb2.GenerateRequest()
    asked.CopyFrom(request)
    asked.prompts[:] = [prompts.prompts[index] for index in chunk]
    if asked.HasField("seed"):
        # The supervisor counts on from here: equal draws for all prompts would be no sample of them.
        asked.seed = (asked.seed + chunk.start) % 2**32
    for part in supervisor.Generate(asked, timeout=_TIMEOUT_S):
        texts[part.prompt][part.sample] += part.text
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
        for index, found in zip(chunk, texts, strict=True)
        for sample, text in enumerate(found)
    ]
