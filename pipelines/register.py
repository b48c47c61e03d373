"""Registers the compiled pipelines with KFP: `python -m pipelines.register --host URL`.

Each YAML is a version named by the hash of its content, so that to run this again changes
nothing, and a new image with other pipelines adds their versions. It waits for the API first,
so that a Job of an installation can run it beside KFP's own start.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import urllib3

from pipelines.catalog import PIPELINES, get_pipeline
from pipelines.compile import file_of
from pipelines.manifests import version_of, write_manifests
from w2s.errors import W2SError

_DELAY_S = 2.0
_ATTEMPT_S = 5.0
_FIX = "see that it runs, that --host (pipelines.kfpEndpoint) is its API, and that network policies allow it"
_PAGE = 100
_EXPERIMENT = "w2s"
_CRON_FIELDS = 6


@dataclass(frozen=True)
class Registered:
    """A pipeline in KFP.

    Attributes:
        name: Its name.
        pipeline_id: Its id.
        version: The name of the version.
        new: Whether the version was uploaded now.
    """

    name: str
    pipeline_id: str
    version: str
    new: bool


def register(client: kfp.Client, name: str, path: Path, namespace: str | None = None) -> Registered:
    """Makes sure that KFP has a pipeline's YAML as a version.

    Args:
        client: KFP's API.
        name: The pipeline's name.
        path: The YAML.
        namespace: Whose pipeline it is, where KFP has several users; None for all.

    Raises:
        kfp_server_api.ApiException: The API refuses.
    """
    version = version_of(path.read_bytes())
    found = client.get_pipeline_id(name)
    if found is None:
        # KFP makes a first version of the same content, and names it as the pipeline.
        found = client.upload_pipeline(str(path), pipeline_name=name, namespace=namespace).pipeline_id
    new = version not in _versions(client, found)
    if new:
        client.upload_pipeline_version(str(path), pipeline_version_name=version, pipeline_id=found)
    return Registered(name, found, version, new)


def _versions(client: kfp.Client, pipeline_id: str) -> set[str]:
    return {version.display_name for version in _pages(client, pipeline_id)}


def _pages(client: kfp.Client, pipeline_id: str) -> Iterator[Any]:
    token = ""
    while True:
        page = client.list_pipeline_versions(pipeline_id, page_token=token, page_size=_PAGE)
        yield from page.pipeline_versions or ()
        token = page.next_page_token or ""
        if not token:
            return


def schedule(client: kfp.Client, found: Registered, cron: str, namespace: str | None = None) -> bool:
    """Makes sure that KFP runs a pipeline's version again and again, with the defaults of its form.

    Args:
        client: KFP's API.
        found: The pipeline.
        cron: When, in six fields, seconds first.
        namespace: Whose run it is.

    Returns:
        Whether it was made now; one of the same pipeline and version stays as it is.

    Raises:
        ValueError: The cron expression has other than six fields.
        kfp_server_api.ApiException: The API refuses.
    """
    if len(cron.split()) != _CRON_FIELDS:
        raise ValueError(f"--recurring {found.name}: must have six fields, seconds first, got {cron!r}")
    experiment = client.create_experiment(_EXPERIMENT, namespace=namespace).experiment_id
    job = f"{found.name}-{found.version}"
    there = client.list_recurring_runs(experiment_id=experiment, page_size=_PAGE).recurring_runs or ()
    if any(run.display_name == job for run in there):
        return False
    version = next(v for v in _pages(client, found.pipeline_id) if v.display_name == found.version)
    client.create_recurring_run(
        experiment_id=experiment,
        job_name=job,
        cron_expression=cron,
        pipeline_id=found.pipeline_id,
        version_id=version.pipeline_version_id,
        no_catchup=True,
    )
    return True


def connect(host: str, patience_s: float) -> kfp.Client:
    """KFP's API, once it answers.

    Args:
        host: Its address, such as `http://ml-pipeline.kubeflow:8888`.
        patience_s: How long to wait for it.

    Raises:
        TimeoutError: It did not answer in time.
    """
    _await_health(f"{host.rstrip('/')}/apis/v2beta1/healthz", host, patience_s)
    return kfp.Client(host=host)


def _await_health(url: str, host: str, patience_s: float) -> None:
    """KFP's own client would wait for an address that drops packets for as long as the kernel does."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            status = urllib3.request("GET", url, timeout=_ATTEMPT_S, retries=False).status
            said = f"HTTP status {status}"
        except urllib3.exceptions.HTTPError as error:
            said = str(error)
        else:
            if status == HTTPStatus.OK:
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"no KFP at {host} for {patience_s:.0f} s ({said}): {_FIX}")
        time.sleep(_DELAY_S)


def main(arguments: Sequence[str] | None = None) -> None:
    """Registers every pipeline."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.register", description="Register the pipelines.")
    parser.add_argument("--host", default=os.environ.get("KF_PIPELINES_ENDPOINT"), help="address of KFP's API")
    parser.add_argument("--namespace", help="whose pipelines they are, where KFP has several users")
    parser.add_argument("--patience", type=float, default=300.0, help="seconds to wait for the API (300)")
    parser.add_argument(
        "--recurring", action="append", default=[], metavar="NAME=CRON", help="run it again and again; six fields"
    )
    parser.add_argument("--manifests", type=Path, metavar="FOLDER", help="write Kubernetes objects, and ask no API")
    given = parser.parse_args(arguments)
    if given.manifests:
        for path in write_manifests(given.manifests, given.namespace or "kubeflow"):
            print(path)
        return
    if not given.host:
        parser.error("--host or KF_PIPELINES_ENDPOINT must say where KFP's API is")
    warnings.simplefilter("ignore", FutureWarning)
    try:
        client = connect(given.host, given.patience)
        found = [register(client, name, file_of(name), given.namespace) for name in sorted(PIPELINES)]
        for name, _, cron in (one.partition("=") for one in given.recurring):
            get_pipeline(name)
            schedule(client, next(one for one in found if one.name == name), cron, given.namespace)
    except (TimeoutError, ValueError, W2SError, kfp_server_api.ApiException, urllib3.exceptions.HTTPError) as error:
        sys.exit(f"ERROR: register: {error}")
    for one in found:
        print(f"{one.name} {one.version} {'uploaded' if one.new else 'is there'} ({one.pipeline_id})")


if __name__ == "__main__":
    main()
