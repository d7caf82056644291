"""Launch files and documentation: valid bash and YAML, and valid `panorax` commands."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from panorax import cli
from panorax.commands import experiment, run
from panorax.core import config

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = sorted((ROOT / "launch").iterdir())
DOCUMENTS = [*LAUNCH, ROOT / "README.md"]


def commands(path):
    """The arguments of every `panorax` command in a file, without shell variables."""
    command = r"(?:^|[\s`/])panorax ((?:run|list|show|generate|bench)\b[^`|;\n]*)"
    for line in re.findall(command, path.read_text(), re.M):
        yield shlex.split(re.sub(r'\s#.*|\\?"\\?\$\{resume.*|&$', "", line))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_commands_of_a_document_are_valid(path):
    documented = list(commands(path))
    assert documented
    for args in documented:
        parsed, overrides = cli.make_parser().parse_known_args(
            [word for word in args if word != "--help"]
        )
        if parsed.command is run and parsed.system and not parsed.system.endswith(".py"):
            config.override(experiment.load(parsed.system)[2], overrides, "panorax run")
        else:
            assert not overrides, overrides


@pytest.mark.parametrize(
    "path", [p for p in LAUNCH if p.suffix in (".sh", ".sbatch")], ids=lambda p: p.name
)
def test_a_script_is_valid_bash(path):
    assert subprocess.run(["bash", "-n", path], capture_output=True).stderr == b""


def test_the_jobset_has_consistent_numbers_of_processes():
    [jobset] = yaml.safe_load_all((ROOT / "launch" / "jobset.yaml").read_text())
    [workers] = jobset["spec"]["replicatedJobs"]
    job = workers["template"]["spec"]
    [container] = job["template"]["spec"]["containers"]
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert job["parallelism"] == job["completions"] == int(env["JAX_NUM_PROCESSES"])
    assert env["JAX_COORDINATOR_ADDRESS"].startswith(
        f"{jobset['metadata']['name']}-{workers['name']}-0-0.{jobset['metadata']['name']}:"
    )
    subprocess.run(["bash", "-n", "-c", container["command"][-1]], check=True)
    mesh = dict(
        part.split("=")
        for part in re.search(r"--mesh (\S+)", container["command"][-1])[1].split(",")
    )
    assert (
        int(mesh["data"]) * int(mesh["fsdp"])
        == job["parallelism"] * container["resources"]["limits"]["nvidia.com/gpu"]
    )
