"""What the images are built by: the rules of their Dockerfiles, and locks that say what the environment says."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
SERVICES = ("supervisor", "trainer", "evaluator")
DOCKERFILES = {
    **{name: ROOT / "services" / name / "Dockerfile" for name in SERVICES},
    "pipelines": ROOT / "pipelines" / "Dockerfile",
}
CORE = ROOT / "services" / "core"
LABELS = {"title", "description", "licenses", "version", "revision", "base.name"}

each_image = pytest.mark.parametrize("name", DOCKERFILES)


def instructions(name):
    """A Dockerfile's instructions, each on one line, without comments."""
    lines = [line for line in DOCKERFILES[name].read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [line for line in text.splitlines() if line]


def last_stage(name):
    found = instructions(name)
    start = max(at for at, line in enumerate(found) if line.startswith("FROM "))
    return found[start:]


def pins(path):
    """Name and version of what a lock or constraints file pins."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s\\]+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def closure(*roots):
    """The names of all that requirements come to on Linux, by what the installed distributions say; not our own."""
    environment = {**default_environment(), "platform_system": "Linux", "sys_platform": "linux"}
    waiting, seen = [Requirement(root) for root in roots], set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in requires(name) or ():
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({**environment, "extra": extra}):
                    waiting.append(needed)
    return {name for name, _ in seen if not name.startswith("w2s-")}


@each_image
def test_the_base_is_pinned_and_stages_take_no_other(name):
    default, *rest = instructions(name)
    assert re.fullmatch(r"ARG BASE_IMAGE=\S+:\S+@sha256:[0-9a-f]{64}", default)
    assert default == instructions("supervisor")[0]
    stages = [line.split() for line in rest if line.startswith("FROM ")]
    named = {words[3] for words in stages if len(words) > 2}
    assert {words[1] for words in stages} - named == {"${BASE_IMAGE}"}
    assert len(stages) > 1


@each_image
def test_an_image_runs_as_nobody_and_leaves_probes_to_the_chart(name):
    stage = last_stage(name)
    at = stage.index("USER 65532:65532")
    assert not any(line.startswith(("RUN", "COPY", "USER")) for line in stage[at + 1 :])
    assert not any(line.startswith(("HEALTHCHECK", "ADD", "VOLUME")) for line in instructions(name))
    assert set(re.findall(r"org\.opencontainers\.image\.([a-z.]+)=", stage[-1])) == LABELS


@each_image
def test_everything_fetched_is_checked_against_a_hash(name):
    commands = [command for line in instructions(name) for command in re.split(r"&&|RUN", line)]
    installs = [command for command in commands if re.search(r"\bpip install\b", command)]
    assert len(installs) > 2
    for command in installs:
        # Our own packages are built from the tree.
        assert "--require-hashes" in command or command.rstrip().endswith("--no-deps --compile-bytecode wheels/*.whl")


def test_the_services_share_their_layers():
    def shared(name):
        text = DOCKERFILES[name].read_text()
        return text[: text.index("FROM tools AS packages")]

    assert len({shared(name) for name in SERVICES}) == 1


@pytest.mark.parametrize("path", [*ROOT.glob("services/*/*.lock"), *ROOT.glob("pipelines/*.lock")], ids=str)
def test_a_lock_pins_what_the_constraints_pin_and_nothing_without_a_hash(path):
    _, *packages = re.split(r"\n(?=\S)", path.read_text())
    for package in packages:
        assert re.fullmatch(r"\S+==\S+ (\\\n    --hash=sha256:[0-9a-f]{64} ?)+\n?", package)
    # The tools that build are of no environment but their own.
    if path.name != "build.lock":
        locked = {name: version.removesuffix("+cpu") for name, version in pins(path).items()}
        constraints = pins(ROOT / "constraints.txt")
        assert locked == {name: constraints.get(name, version) for name, version in locked.items()}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_installs_what_it_needs_and_no_more(name):
    shared = pins(CORE / "requirements.lock").keys()
    own = pins(ROOT / "services" / name / "requirements.lock").keys()
    assert not own & shared
    assert shared | own | {"torch"} == closure(f"w2s-{name}", "w2s-core[models,server]")
    assert not own & {"trl", "kfp", "pytest", "chess"}


def test_the_client_has_no_torch():
    locked = pins(ROOT / "pipelines" / "requirements.lock").keys()
    assert locked == closure("w2s-pipelines", "w2s-cli")
    assert not locked & {"torch", "transformers", "kserve"}


def test_torch_is_the_same_release_in_both_builds():
    cpu, cuda = pins(CORE / "torch-cpu.lock"), pins(CORE / "torch-cuda.lock")
    assert cpu.keys() == {"torch"}
    assert cpu["torch"] == cuda["torch"] + "+cpu"
    assert any(name.startswith("nvidia-") for name in cuda)


def test_the_tools_are_those_of_the_repository():
    asked, locked = pins(CORE / "build.in"), pins(CORE / "build.lock")
    assert asked.items() <= locked.items()
    assert asked["uv"] == pins(ROOT / "requirements-dev.txt")["uv"]
    assert f'"setuptools=={asked["setuptools"]}"' in (CORE / "pyproject.toml").read_text()
