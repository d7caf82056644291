"""Runs that are killed, interrupted, started twice, resumed with other options, or cannot write."""

import errno
import json
import multiprocessing
import os
import random
import resource
import signal
import threading
import time

import chex
import jax
import pytest

from panorax import cli
from panorax.core import config
from panorax.engine import run
from panorax.engine.metrics import Log, read_metrics

STORIES = "\n".join(f"once upon a time {i} frogs sat on {i * i % 91} leaves" for i in range(400))
SMALL = (
    "--model.vocab=257 --model.d-model=16 --model.n-layers=1 --model.d-ff=16 "
    "--context=8 --stride=8 --batch=4 --optim.warmup=0"
).split()
LONG = "--run.steps=400 --run.chunk=2 --run.save-every=4 --run.eval-every=50".split()


@pytest.fixture
def story(tmp_path):
    file = tmp_path / "story.txt"
    file.write_text(STORIES)
    return ["run", "lm/llama", "--smoke", f"--data.path={file}", *SMALL]


@pytest.fixture(scope="module")
def processes():
    """A context of processes with everything imported, which share the compilation cache."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = jax.config.jax_compilation_cache_dir
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "panorax.engine.run",
            "panorax.lm.language_model",
            "panorax.configs.lm.llama",
            "orbax.checkpoint",
            "tyro",
            "tensorboardX",
        ]
    )
    return context


def start(processes, args, directory):
    resume = ["--resume"] if (directory / "config.json").exists() else []
    process = processes.Process(
        target=main, args=([*map(str, args), "--workdir", str(directory), *resume],)
    )
    process.start()
    return process


def main(args):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    raise SystemExit(cli.main(args))


def params(directory):
    cfg = run.config_of(directory)
    return run.restore(directory, config.module_of(cfg).system(cfg).init_state).params


def wait_for_step(directory, step):
    """Waits until the run in `directory` has written metrics of this step."""
    deadline = time.monotonic() + 60
    while not any(r["step"] >= step for r in read_metrics(directory / "metrics.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_run_killed_at_twenty_random_moments_equals_an_uninterrupted_run(
    processes, story, tmp_path
):
    whole = start(processes, [*story, *LONG], tmp_path / "whole")
    whole.join()
    assert whole.exitcode == 0
    moments, kills, directory = random.Random(0), 0, tmp_path / "killed-0"
    while True:
        process = start(processes, [*story, *LONG], directory)
        process.join(moments.uniform(0.3, 2.5) if kills < 20 else None)
        if process.exitcode is None:
            process.kill()
            process.join()
            kills += 1
            continue
        assert process.exitcode == 0
        chex.assert_trees_all_equal(params(tmp_path / "whole"), params(directory))
        assert read_metrics(directory / "metrics.jsonl") == read_metrics(
            tmp_path / "whole" / "metrics.jsonl"
        )
        if kills == 20:
            break
        directory = tmp_path / f"killed-{kills}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_sets_the_exit_code(processes, story, tmp_path, number):
    args = [*story, *LONG, "--run.save-every=0", "--run.steps=100000"]
    process = start(processes, args, tmp_path / "a")
    wait_for_step(tmp_path / "a", 20)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 128 + number
    stopped = read_metrics(tmp_path / "a" / "metrics.jsonl")[-1]["step"]
    assert run.newest_step(tmp_path / "a") == stopped >= 20


def test_a_second_signal_ends_the_process_at_once(processes, story, tmp_path):
    process = start(processes, [*story, "--run.steps=100000", "--run.chunk=50000"], tmp_path / "a")
    deadline = time.monotonic() + 60
    while not (tmp_path / "a" / "metrics.jsonl").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(2)
    for _ in range(20):  # the first is recorded, the next kills
        if process.is_alive():
            os.kill(process.pid, signal.SIGTERM)
            time.sleep(0.2)
    process.join(20)
    assert process.exitcode in (-signal.SIGTERM, 128 + signal.SIGTERM)


def test_a_second_process_in_the_directory_of_a_running_one_is_refused(
    processes, story, tmp_path, capsys
):
    process = start(processes, [*story, *LONG, "--run.steps=100000"], tmp_path / "a")
    wait_for_step(tmp_path / "a", 2)
    assert cli.main([*story, "--workdir", str(tmp_path / "a"), "--resume"]) == 2
    assert "another process is running in" in capsys.readouterr().err
    process.kill()
    process.join()


@pytest.fixture
def done(story, tmp_path, capsys):
    """The arguments of a finished run of 8 steps."""
    args = [*story, "--workdir", str(tmp_path / "a")]
    assert cli.main(args) == 0
    capsys.readouterr()
    return args


@pytest.mark.parametrize(
    "changed, message",
    [
        ("--model.d-ff=24", "model.d-ff was 16 and is now 24"),
        ("--data.tokenizer=characters", "data.tokenizer was bytes and is now characters"),
        ("--run.seed=3", "run.seed was 0 and is now 3"),
    ],
)
def test_a_changed_model_tokenizer_or_seed_is_not_resumed(done, capsys, changed, message):
    assert cli.main([*done, "--resume", changed]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_changed_text_is_not_resumed(done, tmp_path, capsys):
    (tmp_path / "story.txt").write_text(STORIES[::-1])
    assert cli.main([*done, "--resume"]) == 2
    assert "the data have changed, data.json made from them differs" in capsys.readouterr().err


def test_changes_of_learning_rate_and_batch_are_recorded(done, tmp_path):
    changes = ["--optim.peak-lr=0.002", "--batch=8", "--run.steps=12"]
    assert cli.main([*done, "--resume", *changes]) == 0
    [resumed] = (tmp_path / "a" / "resumes.jsonl").read_text().splitlines()
    resumed = json.loads(resumed)
    assert resumed["step"] == 8 and resumed["changed"]["batch"] == [4, 8]
    assert resumed["changed"]["optim.peak-lr"] == [0.01, 0.002]


def test_resume_keeps_every_option_that_is_not_typed(story, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text(STORIES)
    texts = [arg for arg in story if not arg.startswith("--data.path")]
    options = ["--data.path", "texts/", "--optim.peak-lr=0.002", "--run.steps=4", "--run.chunk=2"]
    assert cli.main([*texts, *options, "--model.vocab=260"]) == 0  # the tokenizer needs 257
    [directory] = (tmp_path / "runs" / "lm-llama").iterdir()
    capsys.readouterr()
    before = run.config_of(directory)
    assert cli.main(["run", "lm/llama", "--resume"]) == 0 and run.config_of(directory) == before
    started = f"continuing {directory.relative_to(tmp_path)} at step 4 of"
    assert f"{started} 4 with the options it was started with\n" in capsys.readouterr().out
    longer = ["--resume", "--run.steps=6", "--data.path=texts", "--mesh=data=2"]
    assert cli.main(["run", "lm/llama", *longer]) == 0
    line = f"{started} 6 with run.steps 6 (was 4), mesh data=2 (was none)\n"
    assert line in capsys.readouterr().out
    assert run.config_of(directory).optim == before.optim and run.newest_step(directory) == 6
    _, resumed = (directory / "resumes.jsonl").read_text().splitlines()
    changed = {"run.steps": [4, 6], "mesh": ["", "data=2"]}
    assert json.loads(resumed) == {"step": 4, "changed": changed}


def test_fewer_steps_and_lost_checkpoints_are_refused_and_change_nothing(done, tmp_path, capsys):
    text = lambda: [(tmp_path / "a" / name).read_text() for name in ("config.json", "result.json")]
    before = text()
    assert cli.main([*done, "--resume", "--run.steps=7"]) == 2
    assert "has taken 8 steps: --run.steps 7 is too few" in capsys.readouterr().err
    (tmp_path / "a" / "checkpoints").rename(tmp_path / "elsewhere")
    assert cli.main([*done, "--resume"]) == 2
    error = capsys.readouterr().err
    assert "holds no checkpoint, but the run has saved some" in error and error.count("\n") == 1
    assert text() == before and not (tmp_path / "a" / "resumes.jsonl").exists()


def test_damaged_changes_are_found_before_training(done, tmp_path, capsys):
    (tmp_path / "a" / "resumes.jsonl").write_text("junk\n")
    assert cli.main([*done, "--resume", "--run.steps=12"]) == 2
    assert "resumes.jsonl is damaged: expected one change per line" in capsys.readouterr().err
    assert run.newest_step(tmp_path / "a") == 8


def test_a_run_of_another_system_is_not_resumed(done, tmp_path, capsys):
    assert cli.main(["run", "rl/ppo", "--resume", "--workdir", str(tmp_path / "a")]) == 2
    assert "a is a run of panorax.lm.language_model, not of rl/ppo" in capsys.readouterr().err


def on_a_full_disk(args):
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    main(args)


def test_a_full_disk_keeps_the_last_checkpoint(processes, story, tmp_path, capfd):
    large = ["--model.vocab=2048", "--model.d-model=32"]  # checkpoints above the limit
    args = [*story, *large, "--workdir", str(tmp_path / "a")]
    assert cli.main([*args, "--run.steps=4"]) == 0
    capfd.readouterr()
    process = processes.Process(target=on_a_full_disk, args=([*args, "--resume", "--run.steps=8"],))
    process.start()
    process.join(60)
    assert process.exitcode == 2 and run.newest_step(tmp_path / "a") == 4
    params(tmp_path / "a")


def test_a_directory_that_cannot_be_written_is_one_line(story, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main([*story, "--workdir", str(tmp_path / "file" / "a")]) == 2
    error = capsys.readouterr().err
    assert "cannot write" in error and error.count("\n") == 1


def read_only(f, when):
    """`f` changed to fail as on a read-only file system if `when(*args)`.

    Permissions would not stop root, who may run the tests.
    """

    def fails(*args, **kwargs):
        if when(*args):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), "somewhere")
        return f(*args, **kwargs)

    return fails


@pytest.mark.parametrize(
    "owner, name, when, message",
    [
        (
            Log,
            "_write",
            lambda log, step, *_: step > 4,
            "cannot write somewhere: Read-only file system; files written before are intact",
        ),
        (
            os,
            "mkdir",
            lambda path, *_: "8.orbax" in str(path),
            "the checkpoint of step 8 could not be written to",
        ),
    ],
)
def test_a_directory_that_becomes_read_only_keeps_the_last_checkpoint(
    story, tmp_path, monkeypatch, capsys, owner, name, when, message
):
    args = [*story, "--workdir", str(tmp_path / "a"), "--run.save-every=4", "--run.chunk=2"]
    threads = {*threading.enumerate()}
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, read_only(getattr(owner, name), when))
        assert cli.main(args) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    # No new thread keeps the process from ending.
    assert all(thread.daemon for thread in {*threading.enumerate()} - threads)
    assert run.newest_step(tmp_path / "a") == 4
    assert cli.main([*args, "--resume"]) == 0
    assert cli.main([*args[:-3], str(tmp_path / "whole"), *args[-2:]]) == 0
    chex.assert_trees_all_equal(params(tmp_path / "whole"), params(tmp_path / "a"))


def a_day_ago(monkeypatch):
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() - 86400)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() - 86400 * 10**9)


def test_a_clock_set_back_by_a_day_changes_no_number(story, tmp_path, monkeypatch):
    args = [*story, "--run.save-every=2", "--run.chunk=2", "--optim.schedule=constant"]
    assert cli.main([*args, "--workdir", str(tmp_path / "whole")]) == 0
    assert cli.main([*args, "--workdir", str(tmp_path / "cut"), "--run.steps=4"]) == 0
    a_day_ago(monkeypatch)
    assert cli.main([*args, "--workdir", str(tmp_path / "cut"), "--resume", "--run.steps=8"]) == 0
    assert run.newest_step(tmp_path / "cut") == 8
    assert sorted(p.name for p in (tmp_path / "cut" / "checkpoints").iterdir()) == [
        "6",
        "6.sha256",
        "8",
        "8.sha256",
    ]
    chex.assert_trees_all_equal(params(tmp_path / "whole"), params(tmp_path / "cut"))
    trained = lambda name: [
        r for r in read_metrics(tmp_path / name / "metrics.jsonl") if r["split"] == "train"
    ]
    assert trained("whole") == trained("cut")


def test_runs_that_start_in_the_same_second_have_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "time", lambda: 1e9)
    assert len({run.new_directory("lm/llama") for _ in range(3)}) == 3


def test_a_run_that_is_refused_leaves_no_directory(tmp_path, story, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*story, "--run.steps=4", "--optim.warmup=5"]) == 2
    line = "the warm-up is longer than the run: --optim.warmup must be at most 4, the number of"
    assert line in capsys.readouterr().err
    assert [*(tmp_path / "runs" / "lm-llama").iterdir()] == []


def test_a_folder_that_is_gone_is_one_line(tmp_path, story, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for arguments in ([], ["--workdir", "a"], ["--workdir", str(tmp_path / ("a" * 300))]):
        assert cli.main([*story, *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("panorax: cannot write ") and error.count("\n") == 1


def test_the_newest_run_is_the_last_one_started_also_after_a_clock_set_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    started = []
    for again in range(3):
        started.append(run.new_directory("lm/llama"))
        (started[-1] / "config.json").write_text("")
        if again == 1:
            a_day_ago(monkeypatch)
    assert sorted(started) == started and len(set(started)) == 3
    assert run.newest_directory("lm/llama") == started[-1]
