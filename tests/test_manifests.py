"""The manifests in `examples/cluster`, as far as they can be checked without a cloud: forms, versions, commands.

Ray's launcher files are held against the schema that Ray itself ships; those for Kubernetes against what KubeRay
requires (they were also held, strictly, against the resource definitions of KubeRay, which are not ours to keep here).
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray._private import ray_constants

from director.reference import reference

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples/cluster"
LAUNCHERS = sorted(FOLDER.glob("launcher-*.yaml"))
KUBERAY = [FOLDER / "raycluster.yaml", FOLDER / "rayjob.yaml"]
PINNED = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
DRAIN = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
INSTRUCTIONS = {"ARG", "FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "CMD"}


def document(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and what follows them, with continued lines joined and comments left out."""
    lines = [line for line in (FOLDER / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]  # type: ignore[misc]


class TestDockerfile:
    def test_it_is_made_of_instructions_and_its_shell_lines_are_shell(self):
        found = instructions()
        assert {name for name, _ in found} <= INSTRUCTIONS
        assert next(name for name, _ in found if name != "ARG") == "FROM"
        for name, rest in found:
            if name == "RUN":
                subprocess.run(["sh", "-n", "-c", rest], check=True)
            if name == "CMD":
                assert json.loads(rest)[0] == "longtake"

    def test_it_copies_what_there_is_and_the_whole_package(self):
        copied = [word for name, rest in instructions() if name == "COPY" for word in _copied(rest)]
        for name in copied:
            assert (ROOT / name).exists(), name
        rooms = re.search(r"packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
        assert rooms is not None
        tops = {name.split(".")[0] for name in re.findall(r'"([\w.]+)"', rooms[1])}
        assert tops | {"pyproject.toml", "README.md", "LICENSE", "constraints.txt"} == set(copied)
        let_in = re.findall(r"^!(.+)$", (FOLDER / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
        assert set(let_in) == set(copied)

    def test_it_does_not_run_as_root_and_pins_what_it_installs(self):
        found = instructions()
        users = [n for n, (name, _) in enumerate(found) if name == "USER"]
        assert found[users[-1]][1] not in ("root", "0")
        installs = [(n, rest) for n, (name, rest) in enumerate(found) if "pip install" in rest]
        assert installs
        for n, rest in installs:
            assert n > users[-1]
            assert "-c source/constraints.txt" in rest
        assert re.findall(r"--uid (\d+)", "".join(rest for _, rest in found)) == ["10001"]

    def test_ray_is_installed_in_the_pinned_version(self):
        (line,) = [rest for _, rest in instructions() if "ray[default]" in rest]
        script = line.replace("source/constraints.txt", "constraints.txt").replace("pip install", "printf '%s\\n'")
        done = subprocess.run(["sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert f"ray[default]=={PINNED['ray']}" in done.stdout.split()


def _copied(rest: str) -> list[str]:
    words = [word for word in rest.split() if not word.startswith("--")]
    return words[:-1]


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda p: p.name)
class TestLaunchers:
    def test_rays_own_schema_takes_it(self, path):
        schema = json.loads((Path(ray.__file__).parent / "autoscaler/ray-schema.json").read_text())
        jsonschema.validate(document(path), schema)

    def test_rays_own_launcher_takes_it(self, path):
        from ray.autoscaler._private.util import prepare_config, validate_config

        prepared = prepare_config(document(path))
        validate_config(prepared)
        assert prepared["head_node_type"] in prepared["available_node_types"]

    def test_its_commands_are_shell_and_its_dashboard_is_on_loopback(self, path):
        told = document(path)
        for step in ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
            for line in told[step]:
                subprocess.run(["bash", "-n", "-c", line], check=True)
        (start,) = [line for line in told["head_start_ray_commands"] if "ray start" in line]
        assert "--dashboard-host=127.0.0.1" in start
        assert "constraints.txt" in " ".join(told["setup_commands"])


@pytest.mark.parametrize("path", KUBERAY, ids=lambda p: p.name)
class TestKubernetes:
    def test_it_has_what_kuberay_requires(self, path):
        told = document(path)
        assert told["apiVersion"] == "ray.io/v1"
        assert told["kind"] in ("RayCluster", "RayJob")
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", told["metadata"]["name"])
        cluster = cluster_of(told)
        groups = cluster["workerGroupSpecs"]
        assert all({"groupName", "replicas", "minReplicas", "maxReplicas"} <= set(group) for group in groups)
        assert all(group["minReplicas"] <= group["replicas"] <= group["maxReplicas"] for group in groups)
        for pod in pods(cluster):
            (container,) = pod["containers"]
            assert {"name", "image", "resources"} <= set(container)
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == {volume["name"] for volume in pod["volumes"]}

    def test_its_ray_is_the_pinned_one(self, path):
        assert cluster_of(document(path))["rayVersion"] == PINNED["ray"]

    def test_no_pod_is_root_or_holds_a_password_and_each_has_time_for_a_checkpoint(self, path):
        for pod in pods(cluster_of(document(path))):
            assert pod["securityContext"]["runAsNonRoot"]
            assert pod["securityContext"]["runAsUser"] == 10001
            assert pod["terminationGracePeriodSeconds"] >= 60
            (container,) = pod["containers"]
            drains(next(each["value"] for each in container["env"] if each["name"] == DRAIN), "60")
            assert not container["securityContext"]["allowPrivilegeEscalation"]
            (url,) = [each for each in container["env"] if each["name"] == "LONGTAKE_DB_URL"]
            assert "secretKeyRef" in url["valueFrom"]


def drains(seconds: str, grace: str) -> None:
    """Ray knows the variable for the time that a node may take to leave; it is nearly all of the grace period."""
    assert f'"{DRAIN}"' in Path(ray_constants.__file__).read_text()
    assert 45 <= float(seconds) < float(grace.rstrip("s")), "as long as a checkpoint may be on its way"


def cluster_of(told: Any) -> Any:
    return told["spec"] if told["kind"] == "RayCluster" else told["spec"]["rayClusterSpec"]


def pods(cluster: Any) -> Iterator[Any]:
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield group["template"]["spec"]


class TestCompose:
    def test_services_have_what_they_name(self):
        told = document(FOLDER / "compose.yaml")
        for name, service in told["services"].items():
            assert service.get("image"), name
            assert set(service.get("depends_on", [])) <= set(told["services"])
            named = {volume.split(":")[0] for volume in service["volumes"]}
            assert named <= set(told["volumes"])
        for node in (told["services"]["head"], told["services"]["worker"]):
            drains(node["environment"][DRAIN], node["stop_grace_period"])
        build = told["services"]["head"]["build"]
        assert (FOLDER / build["context"] / build["dockerfile"]).resolve() == FOLDER / "Dockerfile"

    def test_nothing_is_reachable_from_other_machines_or_without_a_secret(self):
        text = (FOLDER / "compose.yaml").read_text()
        for service in document(FOLDER / "compose.yaml")["services"].values():
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        for name in ("PASSWORD", "TOKEN"):
            values = re.findall(rf"^\s+\w*{name}: (.+)$", text, re.MULTILINE)
            assert values, name
            for value in values:
                assert re.fullmatch(r"\$\{\w+:\?.+\}", value), value


def test_commands_and_options_that_are_named_exist():
    told = reference()
    known = set(re.findall(r"--[a-z][a-z-]+", told)) | {"--help", "--version"}
    commands = set(re.findall(r"^## longtake ([a-z]+)", told, re.MULTILINE))
    lines = []
    for path in (each for each in FOLDER.iterdir() if each.suffix in (".yaml", "")):
        text = re.sub(r"\\\n#?\s*", " ", path.read_text())
        lines += re.findall(r"(?<![\w@/.-])longtake ([a-z]+ (?:--?[a-z]|/|film\.yaml).*)", text)
    assert len(lines) >= 5
    for line in lines:
        assert line.split()[0] in commands, line
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line):
            assert option in known, line


def test_the_ray_commands_take_their_options():
    """`ray start` of the version that is installed knows every option in the manifests."""
    help_text = subprocess.run(
        [str(Path(sys.executable).parent / "ray"), "start", "--help"], capture_output=True, text=True, check=True
    ).stdout
    known = set(re.findall(r"--[a-z][a-z-]+", help_text))
    used: set[str] = set()
    for path in [*LAUNCHERS, FOLDER / "compose.yaml"]:
        for words in re.findall(
            r"ray start([^\"\n;]*(?:\n\s+--[^\n]*)*)", re.sub(r"^#.*$", "", path.read_text(), flags=re.M)
        ):
            used |= {word.split("=")[0] for word in shlex.split(words) if word.startswith("--")}
    for path in KUBERAY:
        cluster = cluster_of(document(path))
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            used |= {f"--{name}" for name in group["rayStartParams"]}
    assert used - {"--disable-usage-stats"} <= known, used - known
    assert len(used) > 5
