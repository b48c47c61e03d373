"""What a launcher leaves in a run's workspace for its processes."""

from __future__ import annotations

import uuid
from typing import Self

from pydantic import Field

from w2s.artifacts.workspace import Workspace
from w2s.errors import FailedPrecondition
from w2s.jobs import Job
from w2s_trainer.spec import Resources, RunSpec
from w2s_trainer.spec.frozen import Frozen

_NAME = "run.json"


class Order(Frozen):
    """What is to be done, and by which launch: processes of an earlier one stop when they see it.

    Attributes:
        launch: A random token, new with each launch.
        attempt: The run's attempt that launches, from 1.
        spec: What decides the run's result.
        resources: What it is executed on.
        commits: The commits of the hub models in it, by `commit_key`.
    """

    launch: str
    attempt: int
    spec: RunSpec
    resources: Resources = Resources()
    commits: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, job: Job) -> Self:
        """A new launch of a run."""
        return cls(
            launch=uuid.uuid4().hex,
            attempt=job.attempt,
            spec=RunSpec.model_validate(job.spec),
            resources=Resources.model_validate(job.extra.get("resources", {})),
            commits=job.extra.get("commits", {}),
        )

    def give(self, workspace: Workspace) -> None:
        """Puts it in place of any order before.

        Raises:
            FailedPrecondition: A later attempt has begun: this server was held up for longer than its lease.
        """
        standing = read_order(workspace)
        if standing is not None and standing.attempt > self.attempt:
            raise FailedPrecondition(f"attempt {standing.attempt} of the run has begun elsewhere")
        workspace.write(_NAME, self.model_dump_json().encode())


def read_order(workspace: Workspace) -> Order | None:
    """The order that stands, or None when there is none."""
    content = workspace.read(_NAME)
    return None if content is None else Order.model_validate_json(content)
