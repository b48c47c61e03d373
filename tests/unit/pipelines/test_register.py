"""Registration uploads what KFP lacks, and nothing twice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import jsonschema
import pytest
import yaml
from helpers.pipelines_api import serving

from pipelines.catalog import PIPELINES
from pipelines.compile import file_of
from pipelines.register import connect, main, register

CRDS = Path(__file__).parents[4] / "shared" / "crds"


@pytest.fixture
def kfp():
    with serving() as server:
        yield server


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_every_pipeline_is_there_once_however_often_it_is_registered(kfp, capsys):
    main([f"--host={kfp.host}"])
    uploaded = {name: list(versions) for name, versions in kfp.versions.items()}
    main([f"--host={kfp.host}"])
    assert kfp.versions == uploaded
    assert set(kfp.pipelines) == set(PIPELINES)
    content = file_of("weak-to-strong").read_bytes()
    version = f"sha256-{hashlib.sha256(content).hexdigest()[:16]}"
    assert kfp.versions[kfp.pipelines["weak-to-strong"]] == [("weak-to-strong", content), (version, content)]
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("weak-to-strong ")]
    assert [line.split()[2] for line in said] == ["uploaded", "is"]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_other_content_is_another_version_and_old_ones_are_found_on_any_page(kfp, tmp_path):
    client = connect(kfp.host, 0)
    path = tmp_path / "pipeline.yaml"
    content = file_of("weak-to-strong").read_text()
    made = []
    for text in (content, content + "\n", content + "\n\n", content):
        path.write_text(text)
        made.append(register(client, "mine", path))
    assert [one.new for one in made] == [True, True, True, False]
    assert made[0].version == made[3].version
    assert len(kfp.versions[made[0].pipeline_id]) == 1 + 3


def test_a_kfp_that_never_answers_is_named(kfp):
    kfp.down = 100
    with pytest.raises(
        SystemExit, match=rf"ERROR: register: no KFP at {kfp.host} for 0 s \(HTTP status 503\): see that"
    ):
        main([f"--host={kfp.host}", "--patience=0"])


def test_without_an_address_it_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT", raising=False)
    with pytest.raises(SystemExit):
        main([])
    assert "--host or KF_PIPELINES_ENDPOINT" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_recurring_run_is_made_once(kfp, capsys):
    for _ in range(2):
        main([f"--host={kfp.host}", "--recurring=delta-theory=0 0 3 * * *"])
    (made,) = kfp.recurring
    assert made["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert made["pipeline_version_reference"]["pipeline_id"] == kfp.pipelines["delta-theory"]
    with pytest.raises(SystemExit, match="six fields"):
        main([f"--host={kfp.host}", "--recurring=delta-theory=0 3 * * *"])
    with pytest.raises(SystemExit, match="'nope' is unknown"):
        main([f"--host={kfp.host}", "--recurring=nope=0 0 3 * * *"])


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_objects_hold_the_compiled_pipeline_under_the_hash_of_its_content(name, tmp_path):
    main([f"--manifests={tmp_path}", "--namespace=kfp"])
    pipeline, version = yaml.safe_load_all((tmp_path / f"{name}.yaml").read_text())
    assert pipeline["metadata"] == {"name": name, "namespace": "kfp"}
    digest = hashlib.sha256(file_of(name).read_bytes()).hexdigest()[:16]
    assert version["metadata"] == {"name": f"{name}-{digest}", "namespace": "kfp"}
    assert version["spec"]["pipelineName"] == name
    assert version["spec"]["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]["seeds"]["defaultValue"]
    if not CRDS.is_dir():
        pytest.skip("the CRDs to validate against are not here")
    for found, file in ((pipeline, "pipelines"), (version, "pipelineversions")):
        crd = yaml.safe_load((CRDS / f"pipelines.kubeflow.org_{file}.yaml").read_text())
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        jsonschema.validate(found, schema)
