"""Registers the compiled pipelines with KFP: `python -m pipelines.register --host URL`.

Each YAML is a version named by the hash of its content, so that to run this again changes
nothing, and a new image with other pipelines adds their versions. It waits for the API first,
so that a Job of an installation can run it beside KFP's own start.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import kfp
import kfp_server_api
import urllib3

from pipelines.catalog import PIPELINES
from pipelines.compile import file_of

_DELAY_S = 2.0
_PAGE = 100


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
    version = f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    found = client.get_pipeline_id(name)
    if found is None:
        # KFP makes a first version of the same content, and names it as the pipeline.
        found = client.upload_pipeline(str(path), pipeline_name=name, namespace=namespace).pipeline_id
    new = version not in _versions(client, found)
    if new:
        client.upload_pipeline_version(str(path), pipeline_version_name=version, pipeline_id=found)
    return Registered(name, found, version, new)


def _versions(client: kfp.Client, pipeline_id: str) -> set[str]:
    names: set[str] = set()
    token = ""
    while True:
        page = client.list_pipeline_versions(pipeline_id, page_token=token, page_size=_PAGE)
        names |= {version.display_name for version in page.pipeline_versions or ()}
        token = page.next_page_token or ""
        if not token:
            return names


def connect(host: str, patience_s: float) -> kfp.Client:
    """KFP's API, once it answers.

    Args:
        host: Its address, such as `http://ml-pipeline.kubeflow:8888`.
        patience_s: How long to wait for it.

    Raises:
        TimeoutError: It did not answer in time.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            client = kfp.Client(host=host)
            client.get_kfp_healthz()
        except (kfp_server_api.ApiException, urllib3.exceptions.HTTPError, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no KFP at {host} for {patience_s:.0f} s: {error}") from error
            time.sleep(_DELAY_S)
        else:
            return client


def main(arguments: Sequence[str] | None = None) -> None:
    """Registers every pipeline."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.register", description="Register the pipelines.")
    parser.add_argument("--host", default=os.environ.get("KF_PIPELINES_ENDPOINT"), help="address of KFP's API")
    parser.add_argument("--namespace", help="whose pipelines they are, where KFP has several users")
    parser.add_argument("--patience", type=float, default=300.0, help="seconds to wait for the API (300)")
    given = parser.parse_args(arguments)
    if not given.host:
        parser.error("--host or KF_PIPELINES_ENDPOINT must say where KFP's API is")
    warnings.simplefilter("ignore", FutureWarning)
    try:
        client = connect(given.host, given.patience)
        found = [register(client, name, file_of(name), given.namespace) for name in sorted(PIPELINES)]
    except (TimeoutError, kfp_server_api.ApiException, urllib3.exceptions.HTTPError) as error:
        sys.exit(f"ERROR: register: {error}")
    for one in found:
        print(f"{one.name} {one.version} {'uploaded' if one.new else 'is there'} ({one.pipeline_id})")


if __name__ == "__main__":
    main()
