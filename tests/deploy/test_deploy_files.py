"""The files in `deploy/`: linters find nothing; commands, flags, variables, paths and extras that they name exist."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stepwell.cli.command import app
from stepwell.doors.guards import PROBES
from stepwell.settings import FIELDS, PREFIX

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()]
NO_SETTING = {"STEPWELL_CONFIG"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_variables_are_settings(path: Path) -> None:
    for name in re.findall(rf"\b{PREFIX}[A-Z_]+", path.read_text()):
        assert name in NO_SETTING or name.removeprefix(PREFIX).lower() in FIELDS, name


YAML_STYLE = (
    "{extends: default, rules: {line-length: {max: 120}, document-start: disable, braces: {max-spaces-inside: 0}}}"
)
LINTERS = {
    "hadolint": ("hadolint", "Dockerfile"),
    "yamllint": ("yamllint", "--strict", "--config-data", YAML_STYLE, "."),
    "compose": ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"),
    "kubernetes": ("kubernetes-validate", "--strict", "--kubernetes-version", "1.31", "kubernetes/stepwell.yaml"),
}


@pytest.mark.parametrize("name", LINTERS)
def test_linters_find_nothing(name: str) -> None:
    program, *arguments = LINTERS[name]
    tool = Path(sys.executable).with_name(program)  # as it comes with the environment of the tests
    linted = subprocess.run([tool, *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        assert not os.environ.get("CI"), "systemd-analyze has to be installed where all tests must run"
        pytest.skip("systemd-analyze is not installed (Debian's package systemd)")
    unit = tmp_path / "stepwell.service"
    here = (DEPLOY / "stepwell.service").read_text().replace("/opt/stepwell/bin/stepwell", sys.executable)
    unit.write_text(here)  # the program must exist on this machine
    verified = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_what_takes_the_unit_is_installed_for_the_tests(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "install-services.sh"
    # No program is to be found, apt-get neither: so it says what it wants, and ends there.
    ran = subprocess.run(
        ["/bin/sh", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 127
    assert "systemd" in ran.stdout.split(), ran.stdout


def _documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe").load_all(path.read_text()))


def _compose_services() -> dict[str, Any]:
    services: dict[str, Any] = _documents(DEPLOY / "compose.yaml")[0]["services"]
    return services


def _pods() -> dict[str, Any]:
    """By the name of their deployment."""
    documents = _documents(DEPLOY / "kubernetes" / "stepwell.yaml")
    return {
        document["metadata"]["name"]: document["spec"]["template"]["spec"]
        for document in documents
        if document["kind"] == "Deployment"
    }


def _told_commands() -> list[tuple[str, list[str]]]:
    """What the head of the manifests tells to run: in pods of which deployment, and what follows `stepwell`."""
    text = (DEPLOY / "kubernetes" / "stepwell.yaml").read_text()
    return [
        (name, told.split())
        for name, told in re.findall(r"^# +kubectl exec deploy/(\S+) -- stepwell (.+)$", text, re.M)
    ]


def _commands() -> Iterator[list[str]]:
    """What follows `stepwell` in every file."""
    for service in _compose_services().values():
        if "command" in service:
            yield service["command"]
    for pod in _pods().values():
        for container in pod["containers"]:
            yield container["args"]
    for _, told in _told_commands():
        yield told
    unit = _unit()["Service"]["ExecStart"]
    yield unit.split()[1:]
    yield re.findall(r'"([^"]+)"', re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.M)[0])


def _unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names have capitals
    parser.read(DEPLOY / "stepwell.service")
    return parser


@pytest.mark.parametrize("arguments", list(_commands()), ids=" ".join)
def test_commands_and_flags_exist(arguments: list[str]) -> None:
    command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    assert callable(command)
    assert bound is not None


def test_every_deployment_mounts_only_services_and_secrets_that_are_named() -> None:
    documents = _documents(DEPLOY / "kubernetes" / "stepwell.yaml")
    assert [document["kind"] for document in documents] == ["Service", "Deployment", "Deployment"]
    for document in documents[1:]:
        labels = document["spec"]["template"]["metadata"]["labels"]
        assert document["spec"]["selector"]["matchLabels"] == labels
    assert documents[0]["spec"]["selector"] == documents[1]["spec"]["selector"]["matchLabels"]


def test_pods_get_no_variables_that_are_no_settings() -> None:
    for pod in _pods().values():
        assert pod["enableServiceLinks"] is False


def test_first_key_can_be_made_where_nodes_listen_for_others() -> None:
    assert "STEPWELL_HOST=0.0.0.0" in (DEPLOY / "Dockerfile").read_text()
    key = ["keys", "create", "first"]
    assert key in [service.get("command") for service in _compose_services().values()]
    ((name, told),) = _told_commands()
    assert told == key
    (container,) = _pods()[name]["containers"]
    assert container["args"] == ["worker"], "a node with APIs does not run before there is a key"


def test_probes_ask_paths_that_are_served() -> None:
    probed = set(re.findall(r"path: (/\w+)", (DEPLOY / "kubernetes" / "stepwell.yaml").read_text()))
    from stepwell.doors import operations

    served = {operation.path for operation in operations.api.operations}
    assert probed <= served, served


def test_image_installs_extras_and_copies_files_that_exist() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    extras = re.findall(r"'\.\[([\w,]+)\]'", text)[0].split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras) <= set(project["optional-dependencies"])
    for names in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        assert all((ROOT / name).exists() for name in names.split())


def _graces() -> Iterator[tuple[str, float, dict[str, str]]]:
    """How long whoever stops a node waits for it, and its variables."""
    yield "systemd", float(_unit()["Service"]["TimeoutStopSec"]), {}
    for name, service in _compose_services().items():
        if "build" in service:
            grace = service.get("stop_grace_period", "10s")  # as Compose has it
            yield f"compose {name}", float(grace.removesuffix("s")), service["environment"]
    for name, pod in _pods().items():
        (container,) = pod["containers"]
        variables = {one["name"]: one.get("value", "") for one in container["env"]}
        yield f"kubernetes {name}", pod["terminationGracePeriodSeconds"], variables


@pytest.mark.parametrize(("grace_s", "variables"), [pytest.param(*rest, id=id) for id, *rest in _graces()])
def test_grace_of_whoever_stops_a_node_is_longer_than_its_own(grace_s: float, variables: dict[str, str]) -> None:
    own_s = float(variables.get("STEPWELL_SHUTDOWN_GRACE_S", FIELDS["shutdown_grace_s"].default))
    assert grace_s > own_s


def test_kubernetes_probes_paths_that_ask_for_no_credential() -> None:
    probed = re.findall(r"httpGet: {path: ([^,]+),", (DEPLOY / "kubernetes" / "stepwell.yaml").read_text())
    assert probed
    assert set(probed) <= set(PROBES)
