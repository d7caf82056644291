"""Two processes with two devices each are one run: they equal one process with four devices."""

import multiprocessing
import os
import signal
import socket
import time

import chex
import jax
import pytest

from panorax import cli
from panorax.core import config
from panorax.engine import run
from panorax.engine.metrics import read_metrics
from panorax.parallel import processes

STORIES = "\n".join(f"once upon a time {i} frogs sat on {i * i % 91} leaves" for i in range(400))
SMALL = (
    "--model.vocab=257 --model.d-model=16 --model.n-layers=1 --model.d-ff=16 "
    "--context=8 --stride=8 --batch=4 --optim.warmup=0"
).split()
PLANE = [
    "run",
    "generative/flow_matching_2d",
    "--smoke",
    "--batch=64",
    "--run.chunk=2",
    "--run.save-every=4",
]
PRELOADED = (
    "panorax.engine.run panorax.lm.language_model panorax.lm.report panorax.rl.ppo "
    "panorax.generative.flow_matching orbax.checkpoint tyro tensorboardX"
).split()


@pytest.fixture(scope="module")
def forked():
    """A context of processes with everything imported, which share the compilation cache."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = jax.config.jax_compilation_cache_dir
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def start(forked, args, directory, indices=(0, 1), cluster=True, wait=60):
    """Starts the processes of one run in `directory`.

    `PROCESS` in `args` stands for the index. The output of process i goes to `<directory>.<i>`.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = (
            {
                "JAX_COORDINATOR_ADDRESS": "127.0.0.1:%d" % server.getsockname()[1],
                "JAX_NUM_PROCESSES": "2",
            }
            if cluster
            else {}
        )
    args, each = [*map(str, args), "--workdir", str(directory), "--distributed"], []
    for i in indices:
        variables = where and {**where, "JAX_PROCESS_ID": str(i)}
        each.append(
            forked.Process(
                target=main,
                args=(
                    [a.replace("PROCESS", str(i)) for a in args],
                    variables,
                    f"{directory}.{i}",
                    wait,
                ),
                daemon=True,
            )
        )
        each[-1].start()
    return each


def main(args, environment, log, wait):
    os.environ |= {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", **environment}
    processes.WAIT, processes.LEAVE, processes.HEARTBEAT = wait, 5, 10
    output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    raise SystemExit(cli.main(args))


def codes(each, seconds=60):
    deadline = time.monotonic() + seconds
    for process in each:
        process.join(max(deadline - time.monotonic(), 0))
    return [process.exitcode for process in each]


def lines_of(directory, index):
    """The lines that Panorax printed on a process; the transport gloo prints others."""
    return [
        line
        for line in (directory.parent / f"{directory.name}.{index}").read_text().splitlines()
        if line.startswith("panorax: ")
    ]


def state_of(directory):
    cfg = run.config_of(directory)
    return run.restore(directory, config.module_of(cfg).system(cfg).init_state)


def assert_close(a, b, atol):
    """Parameters, optimiser states and steps are close."""
    a, b = ((x.params, x.opt, x.step) for x in (a, b))
    chex.assert_trees_all_close(a, b, rtol=0, atol=atol)


@pytest.fixture
def llama(tmp_path):
    (tmp_path / "story.txt").write_text(STORIES)
    return [
        "run",
        "lm/llama",
        "--smoke",
        f"--data.path={tmp_path / 'story.txt'}",
        *SMALL,
        "--mesh",
        "data=2,fsdp=2",
    ]


def test_two_processes_are_four_devices(forked, llama, tmp_path):
    two = start(forked, llama, tmp_path / "two")
    assert cli.main([*llama, "--workdir", str(tmp_path / "one")]) == 0
    assert codes(two) == [0, 0]
    one, two = tmp_path / "one", tmp_path / "two"
    assert {p.name for p in one.iterdir()} == {p.name for p in two.iterdir()}
    assert_close(state_of(one), state_of(two), atol=1e-6)


def wait_for_step(directory, step, each):
    deadline = time.monotonic() + 60
    while not any(r["step"] >= step for r in read_metrics(directory / "metrics.jsonl")):
        assert time.monotonic() < deadline and all(p.exitcode is None for p in each), lines_of(
            directory, 0
        )
        time.sleep(0.02)


@pytest.mark.parametrize("index, number", [(0, signal.SIGINT), (1, signal.SIGTERM)])
def test_a_signal_to_one_saves_and_stops_all_and_one_process_resumes(
    forked, tmp_path, index, number
):
    endless = [*PLANE, "--optim.schedule=constant", "--run.steps=100000", "--run.save-every=0"]
    two = start(forked, endless, tmp_path / "a")
    wait_for_step(tmp_path / "a", 10, two)
    os.kill(two[index].pid, number)
    assert codes(two) == [128 + number] * 2
    stopped = read_metrics(tmp_path / "a" / "metrics.jsonl")[-1]["step"]
    assert run.newest_step(tmp_path / "a") == stopped >= 10
    reason = "interrupted" if number == signal.SIGINT else f"stopped by signal {number}"
    [line] = lines_of(tmp_path / "a", 0)
    assert line == (
        f"panorax: {reason} after step {stopped}; everything is saved; to continue: panorax run "
        f"{endless[1]} --resume --workdir {tmp_path / 'a'} --distributed"
    )
    assert lines_of(tmp_path / "a", 1) == []
    end = [*PLANE, "--optim.schedule=constant", f"--run.steps={stopped + 2}", "--mesh", "data=4"]
    assert cli.main([*end, "--workdir", str(tmp_path / "a"), "--resume"]) == 0
    assert cli.main([*end, "--workdir", str(tmp_path / "whole")]) == 0
    assert_close(state_of(tmp_path / "a"), state_of(tmp_path / "whole"), atol=1e-5)


def test_damage_kill_and_resume_with_one_and_two_processes(forked, tmp_path):
    plane = [*PLANE, "--optim.schedule=constant"]
    assert cli.main([*plane, "--run.steps=8", "--workdir", str(tmp_path / "a")]) == 0
    (tmp_path / "a" / "checkpoints" / "8" / "state" / "_METADATA").unlink()
    two = start(forked, [*plane, "--run.steps=100000", "--resume"], tmp_path / "a")
    wait_for_step(tmp_path / "a", 20, two)
    os.kill(two[1].pid, signal.SIGKILL)
    ends = codes(two)
    assert ends[1] == -signal.SIGKILL and ends[0] not in (0, None), ends
    [line] = lines_of(tmp_path / "a", 0)
    assert (
        "the checkpoint of step 8 is damaged (state/_METADATA is missing)" in line
        and lines_of(tmp_path / "a", 1) == []
    )
    end = [*plane, "--run.steps", str(run.newest_step(tmp_path / "a") + 4)]
    assert cli.main([*end, "--resume", "--workdir", str(tmp_path / "a")]) == 0
    assert cli.main([*end, "--workdir", str(tmp_path / "whole")]) == 0
    assert_close(state_of(tmp_path / "a"), state_of(tmp_path / "whole"), atol=1e-5)


def test_ppo_on_two_processes(forked, tmp_path):
    ppo = ["run", "rl/ppo", "--smoke", "--seeds=0"]
    two = start(forked, ppo, tmp_path / "two")  # without --mesh, all devices as `data`
    assert cli.main([*ppo, "--mesh", "data=4", "--workdir", str(tmp_path / "one")]) == 0
    assert codes(two) == [0, 0]
    assert_close(state_of(tmp_path / "one"), state_of(tmp_path / "two"), atol=1e-5)


def test_an_error_of_one_process_ends_both_with_one_line(forked, llama, tmp_path):
    (tmp_path / "story.0.txt").write_text(STORIES)
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "config.json").write_text("{}")
    (tmp_path / "other.0.txt").write_text(STORIES)
    (tmp_path / "other.1.txt").write_text(STORIES[::-1])
    refused = {
        "held": (llama, "already holds a run"),
        "none": ([*llama, "--resume"], "none is not the directory of a run"),
        "rows": ([*llama, "--batch=6"], "which does not divide its rows"),
        "part": (
            [*llama, "--mesh", "data=2"],
            "mesh data=2 uses 2 devices; a run on 2 processes uses all their 4 devices",
        ),
        "miss": (
            [*llama, f"--data.path={tmp_path}/story.PROCESS.txt"],
            "story.1.txt does not exist",
        ),
        "data": (
            [*llama, f"--data.path={tmp_path}/other.PROCESS.txt"],
            "process 1 reads other data than process 0",
        ),
    }
    for name, (args, message) in refused.items():
        first, second = codes(start(forked, args, tmp_path / name))
        # on a busy machine, jax ends a process whose coordinator has left before it
        assert first == 2 and second in (2, 1, -signal.SIGABRT), name
        [line] = lines_of(tmp_path / name, 0)
        assert message in line and lines_of(tmp_path / name, 1) == []


def test_a_process_without_the_others_ends_with_one_line(forked, llama, tmp_path):
    alone = {
        "none": (
            start(forked, llama, tmp_path / "none", (0,), cluster=False),
            "no cluster was found; it needs SLURM",
        ),
        "early": (
            start(forked, llama, tmp_path / "early", (0,), wait=4),
            "not all processes reached 127.0.0.1",
        ),
        "late": (
            start(forked, llama, tmp_path / "late", (1,), wait=4),
            "not all processes reached 127.0.0.1",
        ),
    }
    for name, ([process], message) in alone.items():
        assert codes([process]) == [2], name
        index = int(name == "late")
        [line] = lines_of(tmp_path / name, index)
        assert message in line and not (tmp_path / name).exists()
