"""Clients of the release before work against this one: what takes something from them is refused by name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

PROTOS = Path(__file__).parents[3] / "protos"
RELEASED = PROTOS / "released.binpb"
FILE = "w2s/supervisor/v1/supervisor.proto"


@pytest.fixture
def breaking(tmp_path):
    """What `make lint-protos` says of the released protos after a change of the supervisor's."""

    def said(change):
        image = FileDescriptorSet.FromString(RELEASED.read_bytes())
        change(next(file for file in image.file if file.name == FILE))
        changed = tmp_path / "changed.binpb"
        changed.write_bytes(image.SerializeToString())
        command = [Path(sys.executable).parent / "buf", "breaking", changed, "--against", RELEASED]
        flags = ["--exclude-imports", "--config", PROTOS / "buf.yaml"]
        ended = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode in (0, 100), ended.stderr
        return ended.stdout

    return said


def message(file, name):
    return next(one for one in file.message_type if one.name == name)


def remove_field(file):
    del message(file, "LabelRequest").field[0]


def remove_and_reserve_field(file):
    label = message(file, "LabelRequest")
    label.reserved_range.add(start=label.field[0].number, end=label.field[0].number + 1)
    label.reserved_name.append(label.field[0].name)
    del label.field[0]


def remove_rpc(file):
    del file.service[0].method[0]


def retype_field(file):
    message(file, "GenerateRequest").field[-1].type = FieldDescriptorProto.TYPE_BYTES


def remove_enum_value(file):
    del file.enum_type[0].value[-1]


def add_field(file):
    kind = FieldDescriptorProto.TYPE_STRING
    label = FieldDescriptorProto.LABEL_OPTIONAL
    message(file, "LabelRequest").field.add(name="later", json_name="later", number=999, type=kind, label=label)


def test_what_was_released_is_no_change(breaking):
    assert breaking(lambda file: None) == ""


def test_what_is_added_breaks_nobody(breaking):
    assert breaking(add_field) == ""


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (remove_field, 'field "1" with name "[a-z_]+" on message "LabelRequest" was deleted'),
        (remove_and_reserve_field, 'on message "LabelRequest" was deleted'),
        (remove_rpc, 'Previously present RPC "[A-Za-z]+" on service "SupervisorService" was deleted'),
        (retype_field, 'on message "GenerateRequest" changed'),
        (remove_enum_value, "Previously present enum value"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_takes_from_clients_is_refused(breaking, change, problem):
    assert re.search(problem, breaking(change))
