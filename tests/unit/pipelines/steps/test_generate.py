"""A teacher's completions become a dataset, prompt by prompt, once."""

from __future__ import annotations

import grpc
import pytest

from pipelines.steps.generate import generate
from w2s.artifacts import ArtifactRef
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA
from w2s.artifacts.tables import read_completions, write_completions
from w2s.common.v1 import common_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc

DIGEST = "sha256:" + "a" * 64
TEACHER = {"teacher": "teachers/small", "digest": DIGEST, "revision": "r1"}


class Supervisor(supervisor_pb2_grpc.SupervisorServiceServicer):
    """Answers each prompt with its capitals, word by word."""

    def __init__(self):
        self.asked = []
        self.broken_at = ""

    def Generate(self, request, context):  # noqa: N802
        self.asked += [(prompt, request.seed + index) for index, prompt in enumerate(request.prompts)]
        if self.broken_at in request.prompts:
            context.abort(grpc.StatusCode.INTERNAL, "out of memory")
        assert (request.teacher, request.required_digest) == (TEACHER["teacher"], DIGEST)
        by = pb.TeacherVersion(teacher=request.teacher, digest=DIGEST, revision="r1")
        for index, prompt in enumerate(request.prompts):
            for sample in range(max(1, request.samples)):
                for word in prompt.upper().split():
                    yield supervisor_pb2.GenerateResponse(prompt=index, sample=sample, text=f" {word}", teacher=by)


@pytest.fixture
def supervisor(serve):
    return serve(supervisor_pb2_grpc.add_SupervisorServiceServicer_to_server, Supervisor())


@pytest.fixture
def item(store):
    rows = [{"id": f"p{n}", "prompt": f"say {n}", "completion": ""} for n in range(80)]
    with store.write("datasets", "prompts", data_schema=COMPLETIONS_SCHEMA, config={}) as draft:
        write_completions(draft.path, rows)

    def make(**generation):
        return {
            "item": "teacher:0",
            "dataset": draft.ref.model_dump(),
            "teacher": {"model": {"model": {"uri": "file:///m"}}},
            "generation": generation,
            "nonce": "",
        }

    return make


def test_every_prompt_is_completed_by_the_named_teacher(supervisor, store, item):
    made = generate(item(max_new_tokens=8), TEACHER)
    found = read_completions(store, ArtifactRef(**made))
    assert found.ids == [f"p{n}" for n in range(80)]
    assert found.completions[7] == " SAY 7"
    assert found.teachers == [("teachers/small", "r1", DIGEST)]
    assert {parent.role: parent.uri for parent in found.manifest.parents}["teacher"] == "file:///m"
    # The same again asks nobody.
    assert generate(item(max_new_tokens=8), TEACHER) == made
    assert len(supervisor.asked) == 80


def test_samples_are_rows_and_each_prompt_draws_by_itself(supervisor, store, item):
    made = generate(item(samples=2, temperature=1.0, seed="5"), TEACHER)
    found = read_completions(store, ArtifactRef(**made))
    assert found.ids[:3] == ["p0#0", "p0#1", "p1#0"]
    assert sorted(seed for _, seed in supervisor.asked) == list(range(5, 85))
    assert found.manifest.seed == 5


def test_a_retried_step_goes_on_where_it_was(supervisor, store, item):
    supervisor.broken_at = "say 70"
    with pytest.raises(SystemExit):
        generate(item(), TEACHER)
    supervisor.broken_at, supervisor.asked = "", []
    found = read_completions(store, ArtifactRef(**generate(item(), TEACHER)))
    assert len(found) == 80
    assert {prompt for prompt, _ in supervisor.asked} == {f"say {n}" for n in range(64, 80)}
