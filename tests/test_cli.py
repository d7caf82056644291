"""The command line explains every option, and knows what people type instead."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import panorax
from panorax import catalogue, cli
from panorax.commands import bench


def parsers():
    """The parser of every command by name."""
    [action] = [a for a in cli.make_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return action.choices


def printed(capsys, *command):
    """Exit code and standard output of a command."""
    try:
        code = cli.main([*command])
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_explains_every_argument(name):
    assert all(action.help for action in parsers()[name]._actions)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_help_of_a_config_has_the_options_of_the_command_and_of_the_config(capsys, command):
    code, text = printed(capsys, command, "lm/llama", "--optim", "muon", "--help")
    assert code == 0 and text.count("usage: ") == 1
    own = [name for name in parsers()[command]._option_string_actions if name != "-h"]
    assert all(f"{name} " in text for name in own)
    assert "--model.n-layers INT" in text and "--optim.adam-lr FLOAT" in text
    assert "(now muon)" in text and not any(line.endswith(" ") for line in text.splitlines())


def test_help_without_a_config_lists_the_configs(capsys):
    code, text = printed(capsys, "run", "--help")
    assert code == 0 and "--workdir" in text
    assert set(catalogue.names()) <= {line.strip() for line in text.splitlines()}
    assert printed(capsys, "run")[0] == printed(capsys, "plan")[0] == 2
    assert printed(capsys, "plan", "-h")[0] == 0


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("--lr", "--optim.peak-lr"),
        ("--learning-rate=3", "--optim.peak-lr"),
        ("--learning_rate", "--optim.peak-lr"),
        ("-lr", "--optim.peak-lr"),
        ("--epochs", "--run.steps"),
        ("--batch_size", "--batch"),
        ("--seed", "--run.seed"),
        ("--n-layers", "--model.n-layers"),
        ("--chunk", "--run.chunk"),
        ("--resum", "--resume"),
        ("--output-dir", "--workdir"),
        ("--gpus", "--mesh"),
        ("--model.n-layer", "--model.n-layers"),
    ],
)
def test_an_unknown_option_is_answered_by_the_one_that_was_meant(capsys, typed, meant):
    assert cli.main(["run", "lm/llama", "--smoke", typed]) == 2
    error = capsys.readouterr().err
    name = typed.partition("=")[0].replace("_", "-")
    assert error.startswith(f"panorax: unknown option {name}; did you mean '{meant}'?")
    assert error.count("\n") == 1


def test_an_argument_that_is_no_option_is_named(capsys):
    assert cli.main(["run", "lm/llama", "--smoke", "lr=3"]) == 2
    assert capsys.readouterr().err == (
        "panorax: unknown argument lr=3; an option is --NAME VALUE\n"
    )


@pytest.mark.parametrize(
    "command, meant",
    [(["list", "--jso"], "--json"), (["generate", "--model=x", "--max-new-tokens"], "--tokens")],
)
def test_other_commands_suggest_their_own_options(capsys, command, meant):
    assert printed(capsys, *command)[0] == 2
    with pytest.raises(SystemExit):
        cli.main(command)
    error = capsys.readouterr().err
    assert f"did you mean '{meant}'?; see `panorax {command[0]} --help`" in error


def test_a_misspelt_command_and_another_case_are_recognised(capsys):
    with pytest.raises(SystemExit):
        cli.main(["runn", "lm/llama"])
    assert "unknown 'runn'; did you mean 'run'?" in capsys.readouterr().err
    assert cli.main(["show", "LM/Llama"]) == 2
    assert "did you mean 'lm/llama'?" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["--batch 4 lm/llama", "--smoke --optim muon lm/llama --resume"])
def test_a_config_after_its_options_is_one_line(capsys, typed):
    with pytest.raises(SystemExit) as stop:
        cli.main(["run", *typed.split()])
    line = f"panorax: CONFIG comes before its options, got {typed!r}; see `panorax run --help`\n"
    assert stop.value.code == 2 and capsys.readouterr().err == line


def test_a_config_after_flags_is_accepted(capsys):
    assert printed(capsys, "run", "--smoke", "--batch=4", "lm/llama", "--help")[0] == 0
    assert cli.main(["run", "--smok", "lm/llama"]) == 2
    assert "unknown option --smok; did you mean '--smoke'?" in capsys.readouterr().err


def test_a_short_name_of_a_comparison_is_accepted_and_an_unknown_one_is_one_line(capsys):
    called = lambda name: (entry := bench._comparison(name)) and entry.name
    assert called("bench/training") == called("training") == "bench/training"
    assert called("natural-gradient") is called("lm/llama") is called("mine.py") is None
    assert called("second-order") is None and called("startup") == "bench/startup"
    assert cli.main(["bench", "bench/trainin"]) == 2
    error = capsys.readouterr().err
    assert "unknown comparison or system 'bench/trainin'; did you mean 'bench/training'?" in error
    assert error.endswith("`panorax bench` lists the comparisons, `panorax list` the systems\n")


@pytest.mark.parametrize("option", ["--workdir=~/a", "--init-from=~/a"])
def test_the_home_folder_is_known_after_an_equals_sign(monkeypatch, option):
    monkeypatch.setenv("HOME", "/home/me")
    args, _ = cli.make_parser().parse_known_args(["run", "lm/llama", option])
    assert Path("/home/me/a") in (args.workdir, args.init_from)
    assert cli._dashed("--data.held_out_path=~/a") == "--data.held-out-path=/home/me/a"
    assert cli._dashed("--prompt=~/a_b") == "--prompt=~/a_b" and cli._dashed("~/a_b") == "~/a_b"


def test_every_suggested_name_exists():
    from panorax.commands import experiment
    from panorax.core import config
    from panorax.core.names import MEANT

    configs = [experiment.load(name)[2] for name in ("lm/llama", "rl/ppo")]
    known = {name for parser in parsers().values() for name in experiment.flags(parser)}
    for cfg in configs:
        known |= {f"--{name}" for name in (*config.leaves(cfg), *config.choices(type(cfg)))}
    assert set(MEANT) <= known


def test_the_version_is_printed(capsys):
    assert printed(capsys, "--version") == (0, f"panorax {panorax.__version__}\n")


def test_the_package_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "panorax", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"panorax {panorax.__version__}\n")


@pytest.mark.parametrize(
    "environment, devices",
    [
        ({}, 8),
        ({"JAX_NUM_CPU_DEVICES": "3"}, 3),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, 2),
    ],
    ids=str,
)
def test_start_jax_makes_cpu_devices_unless_the_user_has_set_their_number(environment, devices):
    without = {
        name: value
        for name, value in os.environ.items()
        if name not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")
    }
    program = (
        "import jax; from panorax.commands import experiment; "
        "experiment.start_jax(8); print(jax.device_count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=without | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == devices


@pytest.mark.parametrize("args", [["lst"], ["list", "--jso"], ["show"], ["list", "extra"]])
def test_a_wrong_command_is_one_line_and_exit_code_2(capsys, args):
    with pytest.raises(SystemExit) as stop:
        cli.main(args)
    assert stop.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_list_show_and_bench(tmp_path, capsys):
    assert cli.main(["list", "--json"]) == 0
    assert "lm/llama" in {row["name"] for row in json.loads(capsys.readouterr().out)}
    assert cli.main(["show", "llama"]) == 0 and "transformers" in capsys.readouterr().out
    bench = ["bench", "llama", "--smoke", "--repeats", "2", "--json", str(tmp_path / "b.json")]
    assert cli.main(bench) == 0
    assert json.loads((tmp_path / "b.json").read_text())["steps_per_second"]["repeats"] == 2
    assert cli.main(["bench"]) == 0 and "bench/training" in capsys.readouterr().out
    assert (
        cli.main(["bench", "llama", "--record"]) == 2
        and "--record is for comparisons: bench/context" in capsys.readouterr().err
    )
