"""The supervisor's typed values as messages."""

from __future__ import annotations

from collections.abc import Sequence

from w2s.artifacts import ArtifactRef
from w2s.common.v1 import common_pb2 as common
from w2s.errors import W2SError
from w2s.jobs import Job
from w2s.models.inputs import Piece
from w2s.rpc.convert import from_ref, job_status, spec_message, timestamp
from w2s.rpc.status import status_of
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s_supervisor.backends.protocol import Labelled, Preferred, Scored
from w2s_supervisor.replicas import Replica, TeacherState
from w2s_supervisor.swap import SwapSpec
from w2s_supervisor.teachers import Teacher

_FINISH = {
    None: pb.FINISH_REASON_UNSPECIFIED,
    "stop": pb.FINISH_REASON_STOP,
    "eos": pb.FINISH_REASON_EOS,
    "length": pb.FINISH_REASON_LENGTH,
}


def version(version: Sequence[str]) -> common.TeacherVersion:
    """A teacher's name, revision and digest."""
    teacher, revision, digest = version
    return common.TeacherVersion(teacher=teacher, revision=revision, digest=digest)


def teacher(teacher: Teacher, state: TeacherState, replicas: Sequence[Replica] = ()) -> pb.Teacher:
    """A teacher, as it stands here and on all replicas."""
    return pb.Teacher(
        name=teacher.name,
        spec=spec_message(teacher.spec, pb.TeacherSpec),
        version=version(teacher.version),
        label_names=teacher.label_names,
        state=pb.TeacherState.Value(state.value),
        create_time=timestamp(teacher.create_time),
        abilities=[pb.Ability.Value(ability.value) for ability in sorted(teacher.abilities)],
        replicas=[
            pb.ReplicaStatus(
                replica=replica.name,
                state=pb.TeacherState.Value(replica.status.of(teacher.id).value),
                message=replica.status.failure if replica.status.target == teacher.id else "",
                update_time=timestamp(replica.update_time),
            )
            for replica in replicas
        ],
    )


def activation(job: Job) -> pb.Activation:
    """An activation."""
    spec = SwapSpec.model_validate(job.spec)
    previous = job.result["previous"] if job.result else ""
    return pb.Activation(
        name=f"activations/{job.id}",
        teacher=f"teachers/{job.extra['teacher']}",
        status=job_status(job),
        previous_teacher=f"teachers/{previous}" if previous else "",
        mode=pb.SwapMode.Value(spec.mode.value),
        gate=spec_message(spec.gate, pb.ValidationGate),
        load_only=spec.load_only,
    )


def labeling_job(job: Job) -> pb.LabelingJob:
    """A labelling job."""
    result = job.result or {}
    return pb.LabelingJob(
        name=f"labelingJobs/{job.id}",
        dataset=common.DatasetRef(**job.extra["dataset"]),
        teacher=version(job.extra["teacher"]),
        status=job_status(job),
        labels=from_ref(ArtifactRef(**result["labels"]), common.LabelsRef) if result else None,
        failed_rows=result.get("failed_rows", 0),
    )


def soft_label(id_: str, label: Labelled | W2SError) -> pb.SoftLabel:
    """One example's label."""
    if isinstance(label, W2SError):
        return pb.SoftLabel(id=id_, label=-1, error=status_of(label))
    best = int(label.probabilities.argmax())
    return pb.SoftLabel(
        id=id_,
        probabilities=label.probabilities.tolist(),
        label=best,
        confidence=float(label.probabilities[best]),
        logits=label.logits.tolist(),
        disagreement=label.disagreement,
    )


def completion_score(id_: str, score: Scored | W2SError) -> pb.CompletionScore:
    """One completion's score."""
    if isinstance(score, W2SError):
        return pb.CompletionScore(id=id_, error=status_of(score))
    if score.token_log_likelihoods is None:
        return pb.CompletionScore(id=id_, reward=score.reward)
    return pb.CompletionScore(
        id=id_,
        log_likelihood=score.value(length_normalized=False),
        token_log_likelihoods=score.token_log_likelihoods.tolist(),
    )


def preference(id_: str, preferred: Preferred | W2SError) -> pb.Preference:
    """How two completions compare."""
    if isinstance(preferred, W2SError):
        return pb.Preference(id=id_, error=status_of(preferred))
    return pb.Preference(
        id=id_,
        probability_a=preferred.probability_a,
        score_a=preferred.score_a,
        score_b=preferred.score_b,
        disagreement=preferred.disagreement,
    )


def generated(piece: Piece, samples: int, teacher: Teacher) -> pb.GenerateResponse:
    """Some more of a continuation, where each prompt has that many samples."""
    prompt, sample = divmod(piece.sample, samples)
    return pb.GenerateResponse(
        prompt=prompt,
        sample=sample,
        text=piece.text,
        tokens=piece.tokens,
        finish_reason=_FINISH[piece.finish_reason],
        teacher=version(teacher.version),
    )
