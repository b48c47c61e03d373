"""All that is checked before a run is queued."""

from __future__ import annotations

from w2s.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from w2s.models.sources import ModelSources
from w2s_trainer.admission.datasets import check_datasets
from w2s_trainer.admission.disk import check_disk
from w2s_trainer.admission.labels import check_labels
from w2s_trainer.admission.models import check_models
from w2s_trainer.files import model_of
from w2s_trainer.launch import slot_count
from w2s_trainer.settings import TrainerSettings
from w2s_trainer.spec import Resources, RunSpec
from w2s_trainer.spec.commits import commit_key

_MAX_HOPS = 99
# A hop's model is an artifact of its own, `<run>-hop-<n>`, whose key has 63 characters at most.
_MAX_ID_WITH_HOPS = 63 - len(f"-hop-{_MAX_HOPS}")


class Admission:
    """Says no to a run now, where it would fail in the queue.

    Args:
        sources: Where inputs and weights may come from.
        settings: The trainer's settings.
    """

    def __init__(self, sources: ModelSources, settings: TrainerSettings) -> None:
        self._sources = sources
        self._slots = slot_count(settings)
        self._local = settings.launcher == "local"
        self._checkpoints = settings.keep_checkpoints

    def size(self, resources: Resources) -> int:
        """How many of the server's slots a run takes."""
        return resources.processes * resources.nodes if self._local else 1

    def check_resources(self, resources: Resources) -> None:
        """Checks that a run can ever be executed by this server.

        Raises:
            InvalidArgument: It needs a cluster.
            FailedPrecondition: It needs more than there is.
        """
        if not self._local:
            return
        if resources.nodes > 1:
            raise InvalidArgument("run.resources.nodes", "more than 1 needs a trainer with launcher=kubernetes")
        if resources.processes > self._slots:
            raise FailedPrecondition(
                f"run.resources.processes: this server has {self._slots} slots, got {resources.processes}; "
                "ask for fewer, or start it with more slots"
            )

    def check_id(self, request_id: str, spec: RunSpec) -> None:
        """Checks that a run of a new id can make its models.

        Raises:
            InvalidArgument: The id is too long.
            AlreadyExists: Another spec has made a model of that id.
        """
        if len(spec.hops) > _MAX_HOPS:
            raise InvalidArgument("run.spec.hops", f"at most {_MAX_HOPS}, got {len(spec.hops)}")
        if spec.hops and len(request_id) > _MAX_ID_WITH_HOPS:
            raise InvalidArgument(
                "request_id", f"at most {_MAX_ID_WITH_HOPS} characters with hops, got {len(request_id)}"
            )
        if request_id:
            hops = [f"{request_id}-hop-{number}" for number in range(len(spec.hops))]
            for key in (request_id, *hops):
                model_of(self._sources.store, key, spec)
            for key in hops:
                self._check_labels(key)

    def _check_labels(self, key: str) -> None:
        store = self._sources.store
        if store.find("labels", key) is not None and store.find("models", key) is None:
            raise AlreadyExists(
                f"{store.uri('labels', key)} is of a hop that is gone; use another request_id, or delete it"
            )

    def check_spec(self, spec: RunSpec) -> dict[str, str]:
        """Checks that all a run reads is there and fits, and that what it makes has room.

        Returns:
            The commits of the hub models that it names, by `commit_key`.

        Raises:
            InvalidArgument: Something does not fit; its field is named.
            NotFound, FailedPrecondition, DataLoss, Unavailable: An input is missing, another,
                damaged, or on a hub that does not answer.
            ResourceExhausted: There is too little disk.
        """
        datasets = check_datasets(self._sources.store, spec)
        if spec.early_stopping is not None and datasets.own.footer.num_rows < 2:
            raise InvalidArgument("run.spec.early_stopping", "needs 2 examples or more to hold one out")
        check_labels(self._sources.store, spec, datasets)
        models = check_models(self._sources, spec, datasets)
        # A short run writes no more checkpoints than it has steps.
        steps = spec.training.epochs * -(-datasets.rows // spec.training.batch_size)
        check_disk(self._sources.store, models, min(self._checkpoints, steps))
        return {commit_key(model.base): base.commit for model, base in models if base.commit}
