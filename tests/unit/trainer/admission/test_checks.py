from __future__ import annotations

import subprocess
import sys

import pytest

from w2s.artifacts.schemas import CLASSIFIER_SCHEMA
from w2s.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from w2s_trainer.spec import Resources


def test_a_run_takes_a_slot_for_each_process(admission):
    assert admission(slots=4).size(Resources(processes=3)) == 3
    assert admission(launcher="kubernetes").size(Resources(processes=3, nodes=2)) == 1


def test_more_processes_than_slots_are_refused_with_their_number(admission):
    admission(slots=2).check_resources(Resources(processes=2))
    with pytest.raises(FailedPrecondition, match=r"run.resources.processes: this server has 2 slots, got 3"):
        admission(slots=2).check_resources(Resources(processes=3))


def test_more_nodes_need_a_cluster(admission):
    with pytest.raises(InvalidArgument) as caught:
        admission(slots=2).check_resources(Resources(nodes=2))
    assert caught.value.field == "run.resources.nodes"
    admission(launcher="kubernetes").check_resources(Resources(nodes=2, processes=8))


def test_ids_leave_room_for_hops(admission, spec):
    hops = spec(hops=[{"model": spec().model}])
    admission().check_id("x" * 63, spec())
    admission().check_id("x" * 56, hops)
    with pytest.raises(InvalidArgument, match=r"request_id: at most 56 characters with hops, got 57"):
        admission().check_id("x" * 57, hops)
    with pytest.raises(InvalidArgument, match=r"run.spec.hops: at most 99, got 100"):
        admission().check_id("", spec(hops=[{"model": spec().model}] * 100))


def test_another_specs_model_takes_the_id(inputs, admission, spec):
    own, other = spec(), spec(training={"seed": 1})
    inputs.artifact_model("mine", CLASSIFIER_SCHEMA, run=own.model_dump(mode="json"))
    inputs.artifact_model("nobodys", CLASSIFIER_SCHEMA)
    admission().check_id("mine", own)
    admission().check_id("free", own)
    admission().check_id("", own)
    for id_, asked in (("mine", other), ("nobodys", own)):
        with pytest.raises(AlreadyExists, match=rf"models/{id_} was made by another spec; use another request_id, or"):
            admission().check_id(id_, asked)


def test_another_specs_hop_takes_the_id(inputs, admission, spec):
    hops = spec(hops=[{"model": spec().model}] * 2)
    inputs.artifact_model("mine-hop-1", CLASSIFIER_SCHEMA, run=hops.model_dump(mode="json"))
    inputs.artifact_model("nobodys-hop-1", CLASSIFIER_SCHEMA)
    admission().check_id("mine", hops)
    admission().check_id("nobodys", spec(hops=[{"model": spec().model}]))
    with pytest.raises(AlreadyExists, match="models/nobodys-hop-1 was made by another spec"):
        admission().check_id("nobodys", hops)


def test_one_example_cannot_be_held_out(inputs, refuses, spec):
    fields = {"early_stopping": {}, "training": {"evaluations": 1}}
    refuses(spec(dataset=inputs.examples("one", ids="a"), **fields), "run.spec.early_stopping", "needs 2 examples")


def test_checks_import_no_torch():
    code = "import sys, w2s_trainer.admission; assert not {'torch', 'transformers'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
