"""A teacher from the Hugging Face Hub on a real supervisor, which has it in the hub client's cache and no network."""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest
import torch
from helpers.tiny_models import byte_tokenizer, headed

from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2 as pb

FIRST, SECOND = "1" * 40, "2" * 40
NAMES = ["sports", "trade", "science"]
TEXT = "the cat sat"


NUMBERS = itertools.count()


def classifier(seed):
    return headed("bert", seed=seed, id2label=dict(enumerate(NAMES)))


def expected(seed):
    """P(class) of the text, by the model itself."""
    inputs = byte_tokenizer()(TEXT, return_tensors="pt")
    with torch.no_grad():
        return classifier(seed)(**inputs).logits.softmax(-1)[0].numpy()


class Repository:
    """A repository in the hub cache, with some commits, one of which is the branch main.

    Attributes:
        name: As the hub names it.
        seeds: The seeds of its first model and of another, which no other repository has.
    """

    def __init__(self, root):
        number = next(NUMBERS)
        self.name = f"org/topics-{number}"
        self.seeds = (2 * number, 2 * number + 1)
        self._folder = root / f"models--org--topics-{number}"
        (self._folder / "refs").mkdir(parents=True)

    @property
    def id(self):
        """The first teacher's."""
        return self.name.removeprefix("org/")

    def commit(self, commit, seed):
        """Adds a commit; `main` moves to it."""
        folder = self._folder / "snapshots" / commit
        classifier(seed).save_pretrained(folder)
        byte_tokenizer().save_pretrained(folder)
        (self._folder / "refs" / "main").write_text(commit)

    def forget(self, commit):
        shutil.rmtree(self._folder / "snapshots" / commit)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The folder of the hub cache."""
    folder = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(folder))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield folder


@pytest.fixture
def topics(hub):
    """A repository of the test's own."""
    made = Repository(hub)
    made.commit(FIRST, made.seeds[0])
    return made


@pytest.fixture(scope="module")
def server(hub, serve_all):
    return serve_all("supervisor")


def register(client, id_, name, revision="main"):
    model = common.ModelRef(uri=f"hf://{name}", revision=revision)
    backend = pb.ModelBackend(model=model, classifier=pb.ClassifierReading())
    return client.RegisterTeacher(teacher_id=id_, spec=pb.TeacherSpec(model=backend))


def activate(client, teacher):
    activation = client.activate(teacher, gate=pb.ValidationGate(allow_other_labels=True))
    assert activation.status.state == common.JOB_STATE_SUCCEEDED, activation.status.error.message


def label(client, **fields):
    answer = client.Label(examples=[common.Example(id="r", text=TEXT)], **fields)
    return answer.teacher, answer.labels[0].probabilities


def test_a_branch_is_pinned_to_its_commit_and_teaches(server, topics):
    with server.client() as client:
        teacher = register(client, topics.id, topics.name)
        assert teacher.version.revision == FIRST
        assert teacher.label_names == NAMES
        assert register(client, "by-commit", topics.name, FIRST).version.digest == teacher.version.digest
        activate(client, teacher)
        version, probabilities = label(client)
    assert version == teacher.version
    np.testing.assert_allclose(probabilities, expected(topics.seeds[0]), atol=1e-5)


def test_a_teacher_keeps_its_commit_when_its_branch_moves_and_the_server_restarts(server, topics):
    with server.client() as client:
        old = register(client, topics.id, topics.name)
        activate(client, old)
        topics.commit(SECOND, topics.seeds[1])
        assert label(client)[0] == old.version
        new = register(client, "topics-anew", topics.name)
        assert (new.version.revision, old.version.revision) == (SECOND, FIRST)
        assert new.version.digest != old.version.digest
    server.kill()
    server.start()
    with server.client() as client:
        for teacher, seed in zip((old, new), topics.seeds, strict=True):
            version, probabilities = label(client, teacher=teacher.name)
            assert version == teacher.version
            np.testing.assert_allclose(probabilities, expected(seed), atol=1e-5)


def test_a_commit_that_the_cache_has_lost_is_not_replaced_by_another(server, topics, refused):
    with server.client() as client:
        teacher = register(client, topics.id, topics.name)
        topics.commit(SECOND, topics.seeds[1])
        topics.forget(FIRST)
        with refused("FAILED_PRECONDITION", words=f"{topics.name} is not in the hub's cache at that revision"):
            label(client, teacher=teacher.name)


def test_files_that_were_changed_in_the_cache_are_found_out(server, topics, refused):
    with server.client() as client:
        teacher = register(client, topics.id, topics.name)
        topics.commit(FIRST, topics.seeds[1])
        with refused("DATA_LOSS", words="was pinned"):
            label(client, teacher=teacher.name)


def test_what_the_cache_does_not_hold_is_refused(server, topics, refused):
    with server.client() as client:
        for name, revision in ((topics.name, "f" * 40), (topics.name, "dev"), ("org/none", "main")):
            with refused("FAILED_PRECONDITION", words=f"{name} is not in the hub's cache"):
                register(client, "nothing", name, revision)
