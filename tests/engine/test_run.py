"""A run from the command line: its directory, resuming, errors."""

import dataclasses
import json
import sys
import sysconfig
from pathlib import Path

import chex
import jax.numpy as jnp
import pytest
from panorax.configs.lm import llama

from panorax import cli
from panorax.core import config
from panorax.core.errors import UserError
from panorax.engine import run
from panorax.engine.metrics import read_metrics
from panorax.lm import language_model
from panorax.testing.tolerances import RUN

STORIES = "\n".join(f"once upon a time {i} frogs sat on {i * i % 91} leaves" for i in range(400))
SMALL = (
    "--model.vocab=257 --model.d-model=16 --model.n-layers=1 --model.d-ff=16 "
    "--context=8 --stride=8 --batch=4 --optim.warmup=0"
).split()


@pytest.fixture
def story(tmp_path):
    file = tmp_path / "story.txt"
    file.write_text(STORIES)
    return [f"--data.path={file}", *SMALL]


def panorax(*args):
    return cli.main(["run", "lm/llama", "--smoke", *map(str, args)])


def state_of(directory):
    cfg = run.config_of(directory)
    return run.restore(directory, config.module_of(cfg).system(cfg).init_state)


def test_a_run_leaves_its_directory(tmp_path, story, capsys):
    assert panorax("--workdir", tmp_path / "a", *story) == 0
    files = {p.name for p in (tmp_path / "a").iterdir()}
    assert files == {
        "config.json",
        "metrics.jsonl",
        "curves.png",
        "samples.txt",
        "checkpoints",
        "result.json",
        "tensorboard",
        "tokenizer.json",
        "data.json",
    }
    result = json.loads((tmp_path / "a" / "result.json").read_text())
    assert result["parameters"] == 257 * 16 + 16 + 2 * 16 + 16 * 16 * 3 + 16 * 16 * 3
    assert {
        "commit",
        "versions",
        "device",
        "seed",
        "wall_seconds",
        "compile_seconds",
        "claims",
    } <= set(result)
    out = capsys.readouterr().out
    assert "\r" not in out and "eval_bits_per_byte" in out and "kept" not in out.lower()
    assert "claims not judged: options differ from those the claims are about: model.vocab" in out
    assert result["claims"] == [] and result["not_judged"]["run.steps"] == [4000, 8]


def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, story):
    steps = ["--run.save-every=4", "--run.chunk=2"]
    assert panorax("--workdir", tmp_path / "whole", *story, *steps, "--run.steps=12") == 0
    cut = [*steps, "--run.steps=12"]
    assert panorax("--workdir", tmp_path / "cut", *story, *cut, "--run.keep=9") == 0
    for step in ("8", "12"):  # as if the run had stopped after step 4
        for p in sorted((tmp_path / "cut" / "checkpoints" / step).rglob("*"), reverse=True):
            p.rmdir() if p.is_dir() else p.unlink()
        (tmp_path / "cut" / "checkpoints" / step).rmdir()
    assert panorax("--workdir", tmp_path / "cut", "--resume", *story, *cut) == 0
    chex.assert_trees_all_equal(state_of(tmp_path / "whole"), state_of(tmp_path / "cut"))
    assert read_metrics(tmp_path / "whole" / "metrics.jsonl") == read_metrics(
        tmp_path / "cut" / "metrics.jsonl"
    )


def test_a_run_is_resumed_on_another_mesh(tmp_path, story):
    steps = ["--run.chunk=2", "--run.steps=8", "--optim.schedule=constant"]
    assert panorax("--workdir", tmp_path / "whole", *story, *steps) == 0
    assert (
        panorax(
            "--workdir", tmp_path / "moved", "--mesh", "data=4", *story, *steps, "--run.steps=4"
        )
        == 0
    )
    assert (
        panorax(
            "--workdir", tmp_path / "moved", "--mesh", "fsdp=2,tensor=2", "--resume", *story, *steps
        )
        == 0
    )
    whole, moved = state_of(tmp_path / "whole").params, state_of(tmp_path / "moved").params
    chex.assert_trees_all_close(whole, moved, **RUN)


def test_a_resumed_run_keeps_the_mesh_unless_another_is_typed(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(config.to_json(llama.get_config(), mesh="data=2"))
    meshes = []

    def stop(name, module, cfg, directory, resume, mesh, formats):
        meshes.append(mesh)
        raise UserError("stopped")

    monkeypatch.setattr(run, "run", stop)
    for typed in ([], ["--mesh", "data=4"]):
        command = ["run", "lm/llama", "--resume", "--workdir", str(tmp_path), *typed]
        assert cli.main(command) == 2
    assert meshes == ["data=2", "data=4"]


def test_many_devices_give_the_numbers_of_one(tmp_path, story):
    for name, mesh in (
        ("one", "data=1"),
        ("data", "data=4"),
        ("fsdp", "data=2,fsdp=2"),
        ("tensor", "fsdp=2,tensor=2"),
        ("all", "data=2,fsdp=2,tensor=2"),
    ):
        assert panorax("--workdir", tmp_path / name, "--mesh", mesh, *story) == 0
    one = state_of(tmp_path / "one").params
    for name in ("data", "fsdp", "tensor", "all"):
        many = state_of(tmp_path / name).params
        chex.assert_trees_all_close(one, many, **RUN)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, story, capsys):
    planted = ["--optim.peak-lr=1e30", "--optim.clip=1e30", "--run.save-every=1", "--run.chunk=1"]
    assert panorax("--workdir", tmp_path / "a", *story, *planted) == 2
    error = capsys.readouterr().err.strip()
    assert "the loss is nan within steps" in error and "\n" not in error
    assert "is good; the data are finite; try a lower learning rate" in error


def test_a_final_evaluation_that_is_not_finite_is_exit_code_2(tmp_path, story, capsys, monkeypatch):
    evaluate = language_model.evaluate

    def not_finite(*args, **parts):
        totals = evaluate(*args, **parts)
        return {name: (total * jnp.nan, weight) for name, (total, weight) in totals.items()}

    monkeypatch.setattr(language_model, "evaluate", not_finite)
    assert panorax("--workdir", tmp_path / "a", *story) == 2
    error = capsys.readouterr().err
    assert "not finite at the end; look for NaN in the data" in error and error.count("\n") == 1
    for file in ("result.json", "metrics.jsonl"):
        text = (tmp_path / "a" / file).read_text()
        assert "null" in text and "NaN" not in text


def test_record_is_for_the_config_as_it_is_and_for_a_source_tree(capsys, monkeypatch):
    for options in (["--batch=9"], ["--optim.peak-lr=0.1"], ["--data.path=x"]):
        assert cli.main(["run", "lm/llama", "--record", *options]) == 2
        name = options[0].removeprefix("--").partition("=")[0]
        assert f"as it is; this run changes {name}\n" in capsys.readouterr().err
    installed = str(Path(llama.__file__).parents[1])
    monkeypatch.setattr(sysconfig, "get_path", lambda name: installed)
    assert cli.main(["run", "lm/llama", "--record"]) == 2
    assert cli.main(["bench", "bench/training", "--record"]) == 2
    assert capsys.readouterr().err.count("which belongs to an installed package") == 2


def test_generate_continues_prompts(tmp_path, story, capsys):
    panorax("--workdir", tmp_path / "a", *story)
    capsys.readouterr()
    options = ["--tokens", "5", "--temperature", "0"]
    prompts = ["--prompt", "once", "--prompt", "x"]
    assert cli.main(["generate", "--workdir", str(tmp_path / "a"), *prompts, *options]) == 0
    assert capsys.readouterr().out.startswith("once")


@pytest.mark.parametrize(
    "args, message",
    [
        (["run", "lm/lama"], "unknown system or config 'lm/lama'; did you mean 'lm/llama'?"),
        (
            ["run", "llama", "--smoke", "--model.n-layer", "3"],
            "unknown option --model.n-layer; did you mean '--model.n-layers'?",
        ),
        (["run", "llama", "--smoke", "--model.n-layers", "x"], "a whole number, got 'x'"),
        (
            ["run", "llama", "--smoke", "--data.path", "nowhere.txt"],
            "data path nowhere.txt does not exist",
        ),
        (["run", "llama", "--smoke", "--mesh", "data=64"], "needs 64 devices, there are 8"),
        (["run", "llama", "--smoke", "--mesh", "rows=2"], "bad mesh 'rows=2'"),
        (
            ["run", "llama", "--smoke", "--mesh", "data=4", "--batch=6"],
            "--mesh data=4 splits a batch 4 ways, which does not divide its rows",
        ),
        (
            ["run", "concentration", "--smoke", "--mesh", "data=2"],
            "is a study, which makes its own meshes",
        ),
        (
            ["run", "distributed/zero", "--devices", "16", "--batch", "16"],
            "this needs 16 devices, there are 8",
        ),
        (
            ["run", "tensor-parallel", "--model.n-kv-heads", "4"],
            "model.n-kv-heads 4 must be a multiple of devices 8",
        ),
        (
            ["run", "llama", "--smoke", "--batch", "0"],
            "batch must be at least 1 and below 2^31, got 0",
        ),
        (["run", "llama", "--smoke", "--init_from", "nowhere"], "nowhere has no config.json"),
        (["run", "llama", "--resume"], "no run of lm/llama to resume"),
        (["run", "mine.py"], "config file mine.py does not exist"),
        (["show", "lama"], "unknown system or config 'lama'; did you mean 'llama'?"),
        (["generate", "--workdir", "none"], "none is not the directory of a run"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, args, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(args) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("panorax: ")


OWN = """
from panorax.configs.lm import llama
from panorax.core.ranges import checked
from panorax.lm import language_model
from panorax.lm.language_model import decoder_of, system

@checked
class Config(language_model.Config):
    extra: int = 3

def smoke():
    return Config(**vars(llama.smoke()))

get_config = smoke
"""


def test_generate_and_resume_read_a_run_of_a_user_s_own_file(tmp_path, story, capsys):
    (tmp_path / "own.py").write_text(OWN)
    run_it = ["run", str(tmp_path / "own.py"), "--workdir", str(tmp_path / "a")]
    generate = ["generate", "--workdir", str(tmp_path / "a"), "--prompt", "once", "--tokens", "3"]
    assert cli.main([*run_it, *story]) == 0
    sys.modules.pop("own")
    assert cli.main(generate) == 2
    assert "in the module own, which is not imported; --config" in capsys.readouterr().err
    assert cli.main([*generate, "--config", str(tmp_path / "own.py")]) == 0
    assert capsys.readouterr().out.startswith("once")
    sys.modules.pop("own")
    assert cli.main([*run_it, "--resume"]) == 0


@pytest.mark.parametrize("content", [b"null", b"[]", b"5", b"\xff\x00"])
def test_a_garbled_config_is_one_line(tmp_path, capsys, content):
    (tmp_path / "config.json").write_bytes(content)
    for command in (["generate"], ["run", "lm/llama", "--resume"]):
        assert cli.main([*command, "--workdir", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert "config.json: the config is damaged" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "text, message",
    [
        (b"", "holds no text"),
        (b" \n", "holds no text"),
        (b"a", "fewer than one window"),
        (b"caf\xe9 " * 99, "is not UTF-8 text (byte 3)"),
    ],
)
def test_unusable_text_is_one_line(tmp_path, capsys, text, message):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "text.txt").write_bytes(text)
    for path in (tmp_path / "a" / "text.txt", tmp_path / "a"):
        assert panorax(f"--data.path={path}", "--workdir", tmp_path / "run") == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [b"ab c" * 100_000, b"a\0b\n" * 300, b"\xef\xbb\xbfhello\r\n" * 99],
    ids=["one huge line", "zero bytes", "byte order mark"],
)
def test_unusual_text_is_accepted(tmp_path, text):
    (tmp_path / "a.txt").write_bytes(text)
    assert panorax(f"--data.path={tmp_path / 'a.txt'}", "--workdir", tmp_path / "run") == 0


def test_the_seed_and_the_schedule_of_checkpoints_leave_claims_judged(tmp_path):
    cfg = llama.get_config()
    schedule = dataclasses.replace(cfg.run, seed=3, save_every=7, keep=9, chunk=1)
    assert run.deviations(llama, dataclasses.replace(cfg, run=schedule), None) == {}
    steps = dataclasses.replace(cfg, run=dataclasses.replace(cfg.run, steps=1))
    assert run.deviations(llama, steps, None) == {"run.steps": (4000, 1)}
    parts = config.override(cfg, ["--optim", "muon", "--optim.b2=0.5", "--batch", "4"])
    another = {"optim": ("adamw", "muon"), "batch": (8, 4)}
    assert run.deviations(llama, parts, None) == another
    (tmp_path / "config.json").write_text(config.to_json(steps))
    (tmp_path / "resumes.jsonl").write_text(
        '{"step": 3, "changed": {"optim.peak-lr": [0.1, 0.2], "run.keep": [2, 3]}}\n'
        '{"step": 5, "changed": {"optim.peak-lr": [0.2, 0.4], "mesh": ["data=1", "data=2"]}}\n'
    )
    resumed = {"optim.peak-lr": [0.2, 0.4], "run.steps": (1, 4000)}
    assert run.deviations(llama, cfg, tmp_path) == resumed


def test_a_run_whose_options_changed_when_it_was_resumed_is_no_record(tmp_path, capsys):
    (tmp_path / "config.json").write_text(config.to_json(llama.get_config(), mesh=""))
    (tmp_path / "resumes.jsonl").write_text('{"step": 3, "changed": {"batch": [64, 32]}}\n')
    command = ["run", "lm/llama", "--record", "--resume", "--workdir", str(tmp_path)]
    assert cli.main(command) == 2
    assert "as it is; this run changes batch\n" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "resumes.jsonl"}


@pytest.mark.parametrize(
    "name, folder",
    [
        ("lm/llama", "lm-llama"),
        ("mine.py", "mine"),
        ("./mine.py", "mine"),
        ("a/b.py", "a-b"),
        ("{}/a/b.py", "a-b"),
        ("../mine.py", "mine"),
    ],
)
def test_runs_of_a_file_have_the_name_of_its_path(tmp_path, monkeypatch, name, folder):
    monkeypatch.chdir(tmp_path)
    assert run.new_directory(name.format(tmp_path)).parent == Path("runs") / folder


def test_a_directory_with_other_files_and_an_empty_name_are_refused(tmp_path, story, capsys):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "samples.txt").write_text("mine")
    assert panorax("--workdir", tmp_path / "notes", *story) == 2
    error = capsys.readouterr().err
    assert "notes holds files that are not of a run: samples.txt; give an empty" in error
    assert [p.name for p in (tmp_path / "notes").iterdir()] == ["samples.txt"]
    with pytest.raises(SystemExit) as stop:
        panorax("--workdir", "", *story)
    assert stop.value.code == 2 and "--workdir: the name is empty" in capsys.readouterr().err


def test_a_second_run_in_the_same_directory_is_refused(tmp_path, story, capsys):
    assert panorax("--workdir", tmp_path / "a", *story) == 0
    assert panorax("--workdir", tmp_path / "a", *story) == 2
    assert "already holds a run; --resume continues it" in capsys.readouterr().err
