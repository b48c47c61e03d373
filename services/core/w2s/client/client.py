"""One object with the verbs of the three services, for notebooks and the command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc

from w2s.client.channel import Endpoints, connect
from w2s.client.jobs import follow
from w2s.common.v1 import common_pb2 as common
from w2s.errors import FailedPrecondition, Unreachable
from w2s.evaluator.v1 import evaluator_pb2, evaluator_pb2_grpc
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc
from w2s.trainer.v1 import trainer_pb2, trainer_pb2_grpc

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OnEvent = Callable[[common.JobEvent], None]

_TIMEOUT_S = 300.0
# A service that is up answers at once; one that is not should not hold up a person.
_REACH_S = 10.0
_PAGE = 100


def ignore(event: common.JobEvent) -> None:
    """Hears an event and does nothing."""


class Client:
    """The services' verbs; use as a context manager, or close it.

    Calls raise grpc.RpcError as the services answer them, with a message that says what is wrong, and
    Unreachable where nothing answers.

    Args:
        endpoints: Where the services are; None to read the environment of each when its first call is made.
    """

    def __init__(self, endpoints: Endpoints | None = None) -> None:
        self._endpoints = endpoints
        self._channels = ExitStack()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._channels.close()

    @cached_property
    def endpoints(self) -> Endpoints:
        """Where all of the services are.

        Raises:
            FailedPrecondition: The environment does not say of one.
        """
        return self._endpoints or Endpoints.from_environment()

    @cached_property
    def supervisor(self) -> supervisor_pb2_grpc.SupervisorServiceStub:
        """The supervisor's own stub, for what has no verb here."""
        return supervisor_pb2_grpc.SupervisorServiceStub(self._channel("supervisor"))

    @cached_property
    def trainer(self) -> trainer_pb2_grpc.TrainerServiceStub:
        """The trainer's own stub."""
        return trainer_pb2_grpc.TrainerServiceStub(self._channel("trainer"))

    @cached_property
    def evaluator(self) -> evaluator_pb2_grpc.EvaluatorServiceStub:
        """The evaluator's own stub."""
        return evaluator_pb2_grpc.EvaluatorServiceStub(self._channel("evaluator"))

    def teachers(self) -> list[supervisor_pb2.Teacher]:
        """Every registered teacher."""
        return list(_pages(self.supervisor.ListTeachers, supervisor_pb2.ListTeachersRequest(), "teachers"))

    def register(self, teacher_id: str, spec: supervisor_pb2.TeacherSpec) -> supervisor_pb2.Teacher:
        """Registers a teacher as `teachers/{teacher_id}`; the same again changes nothing."""
        request = supervisor_pb2.RegisterTeacherRequest(teacher_id=teacher_id, spec=spec)
        return self.supervisor.RegisterTeacher(request, timeout=_TIMEOUT_S)

    def activate(
        self, request: supervisor_pb2.ActivateTeacherRequest, on_event: OnEvent = ignore
    ) -> supervisor_pb2.Activation:
        """Swaps to a teacher, and waits until it is active.

        Raises:
            JobFailed: It did not load, or did not pass the gate; the teacher before stays active.
            Cancelled: The activation was cancelled.
        """
        return self._swapped(self.supervisor.ActivateTeacher(request, timeout=_TIMEOUT_S), on_event)

    def roll_back(self, on_event: OnEvent = ignore) -> supervisor_pb2.Activation:
        """Swaps to the teacher that was active before, and waits until it is.

        Raises:
            JobFailed, Cancelled: As `activate`.
        """
        request = supervisor_pb2.RollbackTeacherRequest()
        return self._swapped(self.supervisor.RollbackTeacher(request, timeout=_TIMEOUT_S), on_event)

    def label(
        self,
        examples: Sequence[tuple[str, str, str]],
        teacher: str = "",
        tick: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[NDArray[np.float32], common.TeacherVersion]:
        """Soft labels; see `w2s.client.labels.label_examples`."""
        # Imported here: numpy is for labels, and most clients are steps of pipelines.
        from w2s.client.labels import label_examples  # noqa: PLC0415

        return label_examples(self._target("supervisor"), examples, teacher=teacher, tick=tick)

    def compare(
        self, pairs: Iterable[supervisor_pb2.CompletionPair], teacher: str = ""
    ) -> supervisor_pb2.CompareResponse:
        """Which of two completions a teacher prefers, for each pair."""
        request = supervisor_pb2.CompareRequest(pairs=pairs, teacher=teacher)
        return self.supervisor.Compare(request, timeout=_TIMEOUT_S)

    def generate(self, request: supervisor_pb2.GenerateRequest) -> Iterator[supervisor_pb2.GenerateResponse]:
        """What a teacher writes, as it writes it."""
        return iter(self.supervisor.Generate(request, timeout=_TIMEOUT_S))

    def submit(self, run: trainer_pb2.Run, request_id: str = "", validate_only: bool = False) -> trainer_pb2.Run:
        """Queues a run; the same `request_id` gives the same run, and a failed one goes on from its last checkpoint."""
        request = trainer_pb2.CreateRunRequest(run=run, request_id=request_id, validate_only=validate_only)
        return self.trainer.CreateRun(request, timeout=_TIMEOUT_S)

    def run(self, name: str) -> trainer_pb2.Run:
        """A run by its name, `runs/{run}`."""
        return self.trainer.GetRun(trainer_pb2.GetRunRequest(name=name), timeout=_TIMEOUT_S)

    def runs(self, states: Sequence[common.JobState.ValueType] = ()) -> list[trainer_pb2.Run]:
        """Every run, newest first; of these states where any is given."""
        return list(_pages(self.trainer.ListRuns, trainer_pb2.ListRunsRequest(states=states), "runs"))

    def watch_run(self, name: str, on_event: OnEvent = ignore) -> trainer_pb2.Run:
        """Waits for a run's end, over broken connections and restarted servers.

        Raises:
            JobFailed, Cancelled: It ended otherwise than in success.
        """
        follow(self.trainer.WatchRun, trainer_pb2.WatchRunRequest(name=name), on_event)
        return self.run(name)

    def cancel_run(self, name: str) -> trainer_pb2.Run:
        """Stops a run; one that has ended stays as it is."""
        return self.trainer.CancelRun(trainer_pb2.CancelRunRequest(name=name), timeout=_TIMEOUT_S)

    def resume_run(self, name: str) -> trainer_pb2.Run:
        """Has a run that failed go on from its last checkpoint; any other stays as it is.

        Raises:
            FailedPrecondition: It was cancelled, which is final.
        """
        run = self.run(name)
        if run.status.state == common.JOB_STATE_CANCELLED:
            raise FailedPrecondition(f"{run.name} was cancelled, which is final; submit it by a new request_id")
        same = trainer_pb2.Run(
            spec=run.spec, display_name=run.display_name, priority=run.priority, resources=run.resources
        )
        return self.submit(same, run.name.removeprefix("runs/"))

    def evaluate(
        self, spec: evaluator_pb2.EvaluationSpec, request_id: str = "", on_event: OnEvent = ignore
    ) -> evaluator_pb2.Evaluation:
        """Measures a model, a teacher or labels, and waits for the figures.

        Raises:
            JobFailed, Cancelled: It ended otherwise than in success.
        """
        request = evaluator_pb2.CreateEvaluationRequest(
            evaluation=evaluator_pb2.Evaluation(spec=spec), request_id=request_id
        )
        name = self.evaluator.CreateEvaluation(request, timeout=_TIMEOUT_S).name
        follow(self.evaluator.WatchEvaluation, evaluator_pb2.WatchEvaluationRequest(name=name), on_event)
        return self.evaluation(name)

    def evaluation(self, name: str) -> evaluator_pb2.Evaluation:
        """An evaluation by its name, `evaluations/{evaluation}`."""
        return self.evaluator.GetEvaluation(evaluator_pb2.GetEvaluationRequest(name=name), timeout=_TIMEOUT_S)

    def predictions(self, name: str) -> common.PredictionsRef:
        """The predictions of an evaluation.

        Raises:
            FailedPrecondition: It has not succeeded.
        """
        found = self.evaluation(name)
        if not found.result.predictions.uri:
            raise FailedPrecondition(f"{name} has no predictions: it is {common.JobState.Name(found.status.state)}")
        return found.result.predictions

    def pgr(
        self, weak: Sequence[str], student: Sequence[str], ceiling: Sequence[str], metric: str = ""
    ) -> evaluator_pb2.Comparison:
        """Performance gap recovered, from the names of evaluations, one of each for every seed."""
        request = evaluator_pb2.CompareRequest(
            weak=map(self.predictions, weak),
            student=map(self.predictions, student),
            ceiling=map(self.predictions, ceiling),
            metric=metric,
        )
        return self.evaluator.Compare(request, timeout=_TIMEOUT_S)

    def deception(
        self, weak: str, strong: str, student: str, no_conflict: str = "", threshold: float = 0.0
    ) -> evaluator_pb2.DeceptionAssessment:
        """Where a student is wrong that its supervisor cannot see, from the names of evaluations."""
        request = evaluator_pb2.AssessDeceptionRequest(
            weak=self.predictions(weak),
            strong=self.predictions(strong),
            student=self.predictions(student),
            no_conflict=self.predictions(no_conflict) if no_conflict else None,
            threshold=threshold,
        )
        return self.evaluator.AssessDeception(request, timeout=_TIMEOUT_S)

    def _target(self, service: str) -> str:
        found: str = getattr(self._endpoints or Endpoints.from_environment((service,)), service)
        return found

    def _channel(self, service: str) -> grpc.Channel:
        target = self._target(service)
        channel = self._channels.enter_context(connect(target))
        try:
            grpc.channel_ready_future(channel).result(timeout=_REACH_S)
        except grpc.FutureTimeoutError:
            raise Unreachable(f"nothing that speaks to us answers at {target} within {_REACH_S:.0f} s") from None
        return channel

    def _swapped(self, activation: supervisor_pb2.Activation, on_event: OnEvent) -> supervisor_pb2.Activation:
        watch = supervisor_pb2.WatchActivationRequest(name=activation.name)
        follow(self.supervisor.WatchActivation, watch, on_event)
        asked = supervisor_pb2.GetActivationRequest(name=activation.name)
        return self.supervisor.GetActivation(asked, timeout=_TIMEOUT_S)


def _pages(method: Callable[..., Any], request: Any, field: str) -> Iterator[Any]:
    request.page_size = _PAGE
    while True:
        response = method(request, timeout=_TIMEOUT_S)
        yield from getattr(response, field)
        request.page_token = response.next_page_token
        if not request.page_token:
            return
