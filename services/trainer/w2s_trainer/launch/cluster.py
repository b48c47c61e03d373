"""The Kubernetes API, as far as TrainJobs need it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

from kubernetes import client, config  # type: ignore[import-untyped]
from kubernetes.client.exceptions import ApiException  # type: ignore[import-untyped]
from urllib3.exceptions import HTTPError

from w2s.errors import AlreadyExists, FailedPrecondition, Internal, NotFound, Unavailable, W2SError
from w2s_trainer.launch.manifest import GROUP, VERSION
from w2s_trainer.settings import TrainerSettings

log = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
# Seconds before each further try of a call that may succeed later.
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_LATER = (408, 429, 500, 502, 503, 504)
_TRAINJOBS = "trainjobs"


class TrainJobs:
    """The TrainJobs of a namespace.

    Args:
        settings: Which cluster, namespace and runtime.

    Raises:
        FailedPrecondition: There is no cluster to be found.
    """

    def __init__(self, settings: TrainerSettings) -> None:
        self._namespace = settings.namespace
        self._runtime = settings.training_runtime
        self._kind = settings.training_runtime_kind
        configuration = _configuration(settings.kubernetes_url)
        # Tries again itself, by what the answer was.
        configuration.retries = False
        self._client = client.ApiClient(configuration)
        self._api = client.CustomObjectsApi(self._client)

    async def get(self, name: str) -> dict[str, Any] | None:
        """A TrainJob, or None when there is none of that name.

        Raises:
            FailedPrecondition: The server may not.
            Unavailable: The API did not answer, again and again.
        """
        try:
            found: dict[str, Any] = await self._call("get", _TRAINJOBS, self._api.get_namespaced_custom_object, name)
        except NotFound:
            return None
        return found

    async def create(self, body: dict[str, Any]) -> None:
        """Creates a TrainJob.

        Raises:
            AlreadyExists: There is one of that name.
            FailedPrecondition: The server may not, or the cluster has no such runtime, or no TrainJobs.
            Unavailable: As `get`.
        """
        await self._find_runtime()
        try:
            await self._call("create", _TRAINJOBS, self._api.create_namespaced_custom_object, body)
        except NotFound as error:
            message = f"namespace {self._namespace} has no {_TRAINJOBS}.{GROUP}: install Kubeflow Trainer v2"
            raise FailedPrecondition(message) from error

    async def delete(self, name: str) -> None:
        """Begins to delete a TrainJob, if there is one; it is gone once its pods are.

        Raises:
            FailedPrecondition, Unavailable: As `get`.
        """
        try:
            delete = self._api.delete_namespaced_custom_object
            await self._call("delete", _TRAINJOBS, delete, name, propagation_policy="Foreground")
        except NotFound:
            return

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    async def _find_runtime(self) -> None:
        plural = f"{self._kind.lower()}s"
        cluster = self._kind == "ClusterTrainingRuntime"
        get = self._api.get_cluster_custom_object if cluster else self._api.get_namespaced_custom_object
        try:
            await self._call("get", plural, get, self._runtime)
        except NotFound as error:
            message = f"the cluster has no {self._kind} {self._runtime}: install the chart, or set training_runtime"
            raise FailedPrecondition(message) from error

    async def _call(self, verb: str, plural: str, method: Callable[..., Any], what: Any, **options: Any) -> Any:
        place = () if plural == "clustertrainingruntimes" else (self._namespace,)
        reason = ""
        for pause_s in (0.0, *_PAUSES_S):
            await asyncio.sleep(pause_s)
            try:
                return await asyncio.to_thread(
                    method, GROUP, VERSION, *place, plural, what, _request_timeout=_TIMEOUT_S, **options
                )
            except ApiException as error:
                reason = f"{error.status} {_message(error)}"
                if error.status not in _LATER:
                    raise _refusal(error, f"{verb} {plural}.{GROUP}", self._namespace) from error
            except (HTTPError, OSError) as error:
                reason = str(error)
            log.warning("the Kubernetes API failed a call", extra={"verb": verb, "plural": plural, "reason": reason})
        raise Unavailable(f"the Kubernetes API failed to {verb} {plural}: {reason}")


def _configuration(url: str) -> Any:
    if url:
        return client.Configuration(host=url)
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        try:
            config.load_kube_config(client_configuration=configuration)
        except config.ConfigException as error:
            message = f"launcher=kubernetes: no cluster to be found, neither around this pod nor by KUBECONFIG: {error}"
            raise FailedPrecondition(message) from error
    return configuration


def _refusal(error: Any, action: str, namespace: str) -> W2SError:
    """What a call that will not succeed later is to the caller of a run."""
    message = _message(error)
    if error.status in (401, 403):
        return FailedPrecondition(
            f"the trainer's service account needs the right to {action} in {namespace}: {message}"
        )
    if error.status == 404:
        return NotFound(message)
    if error.status == 409:
        return AlreadyExists(message)
    if error.status in (400, 422):
        return FailedPrecondition(f"the cluster refused to {action}: {message}")
    return Internal(f"the Kubernetes API answered {error.status} when told to {action}: {message}")


def _message(error: Any) -> str:
    """What an API error says: its Status object's message where it has one."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
