"""What an installation prints last are commands that work."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CHART, one
from .test_routes import ports

TLS = ("tls.enabled=true", "tls.issuer.name=x", "tls.mutual=true", "auth.existingSecret=a", "auth.clientSecret=b")


@pytest.fixture
def commands(helm, render):
    """The commands that an installation with some values prints, by their programs; and its objects."""

    def printed(*flags):
        values = [f"--set={flag}" for flag in flags]
        # Without a cluster to ask, Helm knows of none of its APIs: a Secret of one's own needs none.
        alone = [value for value in values if "issuer" not in value] + ["--set=tls.existingSecret=w2s-tls"] * (
            flags == TLS
        )
        ended = helm("install", "w2s", CHART, "--namespace=team", "--dry-run=client", *alone)
        assert ended.returncode == 0, ended.stderr
        lines = [line.strip() for line in ended.stdout.partition("\nNOTES:\n")[2].splitlines() if line.startswith("  ")]
        found = {}
        for line in lines:
            found.setdefault(line.split()[0], []).append(shlex.split(line))
        return found, render(*values)

    return printed


@pytest.mark.parametrize("flags", [(), TLS], ids=["open", "secured"])
def test_the_supervisor_is_asked_as_it_wants_to_be(commands, flags):
    found, objects = commands(*flags)
    forward, *gets = found["kubectl"]
    assert forward[:3] == ["kubectl", "--namespace", "team"]
    service, port = forward[-2:]
    assert int(port) in ports(objects)[service.removeprefix("service/")]
    (asks,) = found["w2s"]
    # An option that the command does not have would end it before its help.
    help_ = subprocess.run(
        [Path(sys.executable).parent / "w2s", *asks[1:], "--help"], capture_output=True, text=True, check=False
    )
    assert help_.returncode == 0, help_.stderr
    assert asks[1:3] == ["--supervisor", f"localhost:{port}"]
    # The files that it shows are fetched before, from the Secrets that the pods have.
    files = {get[-1] for get in gets}
    assert {asks[i + 1] for i, word in enumerate(asks) if word.endswith("-file")} <= files
    assert files == ({"ca.crt", "tls.crt", "tls.key", "token"} if flags else set())
    secrets = {get[get.index("secret") + 1] for get in gets}
    pod = one(objects, "Deployment", "w2s-supervisor")["spec"]["template"]["spec"]
    assert secrets <= {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    if flags:
        assert "localhost" in one(objects, "Certificate", "w2s-tls")["spec"]["dnsNames"]


def test_it_says_what_is_missing(commands):
    (register,) = commands()[0]["python"]
    assert register[:3] == ["python", "-m", "pipelines.register"]
    assert commands("pipelines.registration=job")[0].get("python") is None
