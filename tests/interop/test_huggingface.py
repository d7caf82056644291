"""Hugging Face folders from the command line: generate --model, run --init-from, export."""

import dataclasses
import io
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from panorax import cli
from panorax.core import config
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.data import tokenizer
from panorax.engine import run
from panorax.engine.metrics import read_metrics
from panorax.interop import hf_config, hf_text, hf_weights, huggingface
from panorax.lm import language_model
from panorax.nets.decoders import decoder, gemma, llama, qwen
from panorax.ops.positions import Llama3Rope
from panorax.parallel.sharding import make_mesh, parameter_shardings

SAYS = "mat 🐢ñ.! "


@pytest.fixture
def parrot(write_tokenizer, byte_level, tmp_path):
    """A folder of a model whose next token depends on the last alone: after any text it says `SAYS`, over and over."""
    V = 2 * -(-byte_level.get_vocab_size() // 2)
    cfg = llama.Model(
        vocab=V, d_model=V, n_layers=1, n_heads=1, n_kv_heads=1, d_ff=2, head_dim=2, tied=False
    )
    says = byte_level.encode(SAYS, add_special_tokens=False).ids
    assert (
        len(set(says)) == len(says) == 9
    )  # not a divisor of what is written at once: characters are torn somewhere
    follows = np.full(V, says[0])
    follows[says] = np.roll(says, -1)
    params = jax.tree.map(
        lambda x: np.zeros(x.shape, np.float32), core_spec.abstract(decoder.spec(cfg))
    )
    params |= {
        "embed": np.eye(V, dtype=np.float32),
        "head": np.eye(V, dtype=np.float32)[follows],
        "norm": np.ones(V, np.float32),
    }
    directory = write_tokenizer(tmp_path / "parrot", hf_config.write(cfg, 64))
    hf_weights.save(directory, params, cfg)
    return directory


QWEN = qwen.Model(
    vocab=320,
    d_model=16,
    n_layers=2,
    n_heads=4,
    n_kv_heads=2,
    d_ff=12,
    bias=True,
    head_norm=False,
    rope=Llama3Rope(),
)


@pytest.fixture
def small(write_tokenizer, tmp_path):
    """A folder of a small random Qwen 2 with scaled rotary embeddings."""
    directory = write_tokenizer(tmp_path / "small", hf_config.write(QWEN, 64))
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: rng.normal(scale=0.3, size=x.shape).astype(np.float32),
        core_spec.abstract(decoder.spec(QWEN)),
    )
    hf_weights.save(directory, params, QWEN)
    return directory


def said(capsys, *args) -> str:
    assert cli.main(["generate", *map(str, args)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def mistake(capsys, *args) -> str:
    """The one line of a command that ends with 2."""
    assert cli.main([*map(str, args)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("panorax: ") and error.count("\n") == 1
    return error


class Terminal(io.StringIO):
    def __init__(self):
        super().__init__()
        self.pieces = []

    def write(self, text):
        self.pieces.append(text)
        return super().write(text)


def test_a_text_streams_without_torn_characters(parrot, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert (
        cli.main(
            [
                "generate",
                "--model",
                str(parrot),
                "--prompt",
                "the cat sat on the ",
                "--tokens",
                "60",
            ]
        )
        == 0
    )
    text = terminal.getvalue()
    assert (
        text.startswith("the cat sat on the " + SAYS * 3)
        and terminal.pieces[0] == "the cat sat on the "
    )
    assert len(terminal.pieces) > 4 and not any("�" in piece for piece in terminal.pieces[:-1])


def test_prompts_files_and_conversations(parrot, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("a text: ")
    (tmp_path / "b.jsonl").write_text(
        '{"prompt": "a line: "}\n\n{"messages": [{"role": "user", "content": "hi"}]}\n'
    )
    tokens = ["--model", parrot, "--tokens", "12"]
    start = SAYS[:4]
    found = said(
        capsys,
        *tokens,
        "--prompt",
        "one ",
        "--prompt",
        "two ",
        "--prompt-file",
        tmp_path / "a.txt",
        "--prompt-file",
        tmp_path / "b.jsonl",
    ).splitlines()
    assert [line[: line.index(start)] for line in found] == [
        "one ",
        "two ",
        "a text: ",
        "a line: ",
        "",
    ]
    assert (
        said(capsys, *tokens, "--chat", "--prompt", "hi")
        == said(capsys, *tokens, "--system", "Be brief", "--prompt", "hi")
        == found[-1] + "\n"
    )
    assert said(capsys, *tokens) == found[-1] + "\n"  # nothing asked: a text of its own


def test_what_a_chat_reads_is_what_the_template_says(small, capsys):
    options = ["--model", small, "--tokens", "8"]
    by_hand = "<|system|>Be brief<|end|><|user|>the cat<|end|><|assistant|>"
    plain = said(capsys, *options, "--prompt", by_hand)
    assert plain == by_hand + said(capsys, *options, "--system", "Be brief", "--prompt", "the cat")


def test_a_batch_says_what_its_rows_say_alone(small, capsys):
    prompts, options = (
        ["the cat", "an émoji 🙂 is", "dog sat on the log and"],
        ["--model", small, "--tokens", "20"],
    )
    alone = "".join(said(capsys, *options, "--prompt", prompt) for prompt in prompts)
    together = [x for prompt in prompts for x in ("--prompt", prompt)]
    assert (
        said(capsys, *options, *together)
        == said(capsys, *options, *together, "--batch", "2")
        == alone
    )
    assert said(capsys, *options, *together, "--mesh", "fsdp=2,tensor=2") == alone


def test_sampling_is_the_folders_unless_told_otherwise(small, write_tokenizer, capsys):
    options = ["--model", small, "--tokens", "20", "--prompt", "the cat"]
    greedy = said(capsys, *options)
    (small / "generation_config.json").write_text(
        '{"do_sample": true, "temperature": 5.0, "eos_token_id": 1}'
    )
    drawn = said(capsys, *options)
    assert (
        drawn
        != greedy
        == said(capsys, *options, "--temperature", "0")
        == said(capsys, *options, "--top-k", "1")
    )
    assert drawn == said(capsys, *options) != said(capsys, *options, "--seed", "1")


def test_half_precision_is_kept_or_asked_for(small, capsys):
    options = ["--model", small, "--tokens", "4", "--prompt", "the cat"]
    half = said(capsys, *options, "--dtype", "bfloat16")
    file = small / "model.safetensors"
    save_file({name: x.astype(jnp.bfloat16) for name, x in load_file(file).items()}, file)
    assert said(capsys, *options) == half


def test_the_space_before_a_first_word_is_kept(parrot, write_tokenizer, capsys):
    """Tokenizers like those of Llama 2 drop the space that opens a text: what follows a prompt does not open one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    words = Tokenizer(
        models.WordLevel({"▁once": 0, "▁upon": 1, "▁a": 2, "<end>": 3}, unk_token="<end>")
    )
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    words.decoder = decoders.Metaspace(prepend_scheme="first")
    cfg = hf_config.read(json.loads((parrot / "config.json").read_text()))
    write_tokenizer(parrot, hf_config.write(cfg, 64), {"eos_token": "<end>"}, tokens=words)
    stored = load_file(parrot / "model.safetensors")
    head = np.zeros_like(stored["lm_head.weight"])
    head[[1, 2, 3], [0, 1, 2]] = 1
    save_file(stored | {"lm_head.weight": head}, parrot / "model.safetensors")
    assert said(capsys, "--model", parrot, "--prompt", "once") == "once upon a\n"
    assert (
        said(capsys, "--model", parrot, "--prompt", "once", "--prompt", "once upon")
        == "once upon a\n" * 2
    )


def test_mistakes_of_generate_are_one_line(small, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.jsonl").write_text("{}\n")
    ask = lambda *args: mistake(capsys, "generate", *args)
    assert "has no config.json" in ask("--model", tmp_path / "nowhere", "--prompt", "a")
    assert "has no config.json" in ask("--model", tmp_path / "empty", "--prompt", "a")
    assert "bad.jsonl, line 1" in ask("--model", small, "--prompt-file", tmp_path / "bad.jsonl")
    assert "nowhere.txt cannot be read" in ask(
        "--model", small, "--prompt-file", tmp_path / "nowhere.txt"
    )
    assert "give a --prompt or a --prompt-file" in ask("--model", small, "--chat")
    assert "a --batch of at least 1" in ask("--model", small, "--prompt", "a", "--batch", "0")
    assert "at least one token to generate" in ask(
        "--model", small, "--prompt", "a", "--tokens", "0"
    )
    assert "temperature must be at least 0" in ask(
        "--model", small, "--prompt", "a", "--temperature", "-1"
    )
    assert "top-p must be" in ask("--model", small, "--prompt", "a", "--top-p", "2")
    assert "--seed" in ask("--model", small, "--prompt", "a", "--seed", 2**80)
    assert "bad mesh" in ask("--model", small, "--prompt", "a", "--mesh", "rows=2")
    assert "half of a character" in ask("--model", small, "--prompt", "\udcff")
    assert "--mesh and --dtype are for --model" in ask("--workdir", small, "--dtype", "bfloat16")
    (small / "tokenizer_config.json").write_text('{"eos_token": "<|end|>"}')
    assert "no chat template" in ask("--model", small, "--chat", "--prompt", "a")
    (small / "model.safetensors").unlink()
    (small / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "has neither model.safetensors" in ask("--model", small, "--prompt", "a")


@pytest.mark.parametrize(
    "args",
    [
        ["--model", "a", "--workdir", "b"],
        ["--prompt", "a"],
        ["--model"],
        ["--model", "a", "--promt", "b"],
    ],
)
def test_a_wrong_command_is_one_line(capsys, args):
    with pytest.raises(SystemExit) as stop:
        cli.main(["generate", *args])
    assert stop.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_a_cpu_has_the_devices_that_a_mesh_of_generate_needs(small):
    quiet = {
        name: value
        for name, value in os.environ.items()
        if name not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")
    }
    command = [
        sys.executable,
        "-m",
        "panorax.cli",
        "generate",
        "--model",
        small,
        "--mesh",
        "tensor=2",
        "--prompt",
        "the cat",
        "--tokens",
        "4",
    ]
    done = subprocess.run(command, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("the cat") and done.stderr == ""


STORY = "\n".join(f"once upon a time {i} frogs sat on {i * i % 91} leaves" for i in range(300))
STEPS = [
    "--context=8",
    "--stride=8",
    "--batch=4",
    "--run.chunk=1",
    "--run.steps=2",
    "--optim.warmup=0",
    "--optim.schedule=constant",
]


@pytest.fixture
def story(tmp_path):
    (tmp_path / "story.txt").write_text(STORY)
    return [f"--data.path={tmp_path / 'story.txt'}", *STEPS]


def start(*args):
    return cli.main(["run", "lm/llama", "--smoke", *map(str, args)])


def params_of(workdir):
    cfg = run.config_of(workdir)
    return run.restore(workdir, config.module_of(cfg).system(cfg).init_state).params


def test_a_run_starts_from_a_folder_on_one_device_and_on_many(small, story, tmp_path, capsys):
    for name, mesh in (("one", ""), ("many", "data=2,fsdp=2,tensor=2")):
        assert (
            start(
                "--workdir",
                tmp_path / name,
                "--init-from",
                small,
                "--mesh",
                mesh,
                *story,
                "--batch=4",
            )
            == 0
        ), capsys.readouterr().err
    cfg = run.config_of(tmp_path / "one")
    assert cfg.model == QWEN and cfg.init_from == str(small)
    params = hf_weights.load(small, QWEN, parameter_shardings(decoder.spec(QWEN), make_mesh("")))
    loss, _ = language_model.loss_fn(
        params, (), jnp.asarray(language_model.system(cfg).batches(0)), None, decoder.net(QWEN)
    )
    losses = {
        name: [
            row["loss"] for row in read_metrics(tmp_path / name / "metrics.jsonl") if "loss" in row
        ]
        for name in ("one", "many")
    }
    np.testing.assert_allclose(losses["one"][0], loss, rtol=1e-5)
    np.testing.assert_allclose(losses["many"], losses["one"], rtol=1e-4)
    assert (tmp_path / "one" / "tokenizer.json").is_file() and json.loads(
        (tmp_path / "one" / "result.json").read_text()
    )["parameters"] == core_spec.count(decoder.spec(QWEN))


def test_a_run_from_a_folder_is_resumed_without_its_weights(small, story, tmp_path, capsys):
    assert (
        start("--workdir", tmp_path / "whole", "--init-from", small, *story, "--run.steps=4") == 0
    )
    assert start("--workdir", tmp_path / "cut", "--init-from", small, *story, "--run.steps=2") == 0
    (small / "model.safetensors").unlink()
    assert (
        start(
            "--workdir", tmp_path / "cut", "--init-from", small, *story, "--run.steps=4", "--resume"
        )
        == 0
    )
    jax.tree.map(
        np.testing.assert_array_equal, params_of(tmp_path / "whole"), params_of(tmp_path / "cut")
    )
    assert "has neither model.safetensors" in mistake(
        capsys,
        "run",
        "lm/llama",
        "--smoke",
        "--init-from",
        small,
        "--workdir",
        tmp_path / "new",
        *story,
    )


def test_help_lists_the_options_of_the_folders_model(small, capsys):
    with pytest.raises(SystemExit) as stop:
        start("--init-from", small, "--help")
    text = capsys.readouterr().out
    assert (
        stop.value.code == 0
        and "--model.bias" in text
        and "--model.rope.slow" in text
        and "(default: 320)" in text
    )


@pytest.mark.parametrize(
    "option",
    [
        "--model.d-model=32",
        "--model.n-layers=1",
        "--model.vocab=400",
        "--model.norm-eps=0.1",
        "--model.rope.factor=2",
        "--model.windows=4",
        "--model.tied=False",
        "--model.bias=False",
    ],
)
def test_an_option_that_contradicts_the_folder_is_one_line(small, story, tmp_path, capsys, option):
    error = mistake(
        capsys,
        "run",
        "lm/llama",
        "--smoke",
        "--workdir",
        tmp_path / "a",
        "--init-from",
        small,
        *story,
        option,
    )
    assert (
        option.split("=")[0] in error
        and f"contradicts {small}" in error
        and not (tmp_path / "a").exists()
    )


def test_how_it_is_computed_may_change(small, story, tmp_path):
    assert (
        start(
            "--workdir",
            tmp_path / "a",
            "--init-from",
            small,
            *story,
            "--model.dtype=bfloat16",
            "--model.remat=layers",
            "--model.unroll=2",
        )
        == 0
    )
    assert {x.dtype for x in jax.tree.leaves(params_of(tmp_path / "a"))} == {np.dtype("float32")}


def test_only_language_models_start_from_a_folder(small, tmp_path, capsys):
    args = [
        "run",
        "generative/flow_matching_2d",
        "--smoke",
        "--workdir",
        tmp_path / "a",
        "--init-from",
    ]
    assert "--init-from starts language models" in mistake(capsys, *args, small)
    assert "has no config.json" in mistake(
        capsys, "run", "lm/llama", "--smoke", "--init-from", tmp_path / "nowhere"
    )


def test_an_exported_run_says_what_the_run_says(story, tmp_path, capsys):
    sizes = [
        "--data.tokenizer=byte-pairs",
        "--model.vocab=300",
        "--model.d-model=16",
        "--model.n-layers=2",
        "--model.d-ff=16",
        "--optim.peak-lr=0.03",
        "--run.steps=20",
    ]
    assert start("--workdir", tmp_path / "a", *story, *sizes) == 0
    assert (
        cli.main(["export", "--workdir", str(tmp_path / "a"), "--to", str(tmp_path / "out")]) == 0
    )
    capsys.readouterr()
    options = ["--prompt", "once upon", "--prompt", "frogs", "--tokens", "20", "--temperature", "0"]
    text = said(capsys, "--workdir", tmp_path / "a", *options)
    assert said(capsys, "--model", tmp_path / "out", *options) == text
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert "is not empty; a model is written to a new folder" in mistake(
        capsys, "export", "--workdir", tmp_path / "a", "--to", tmp_path / "out"
    )
    assert "cannot write" in mistake(
        capsys, "export", "--workdir", tmp_path / "a", "--to", tmp_path / "story.txt"
    )
    assert "is not the directory of a run" in mistake(
        capsys, "export", "--workdir", tmp_path / "out2", "--to", tmp_path / "b"
    )


def test_a_tuned_folder_is_exported_with_its_tokenizer(small, story, tmp_path, capsys):
    assert start("--workdir", tmp_path / "a", "--init-from", small, *story) == 0
    assert (
        cli.main(
            [
                "export",
                "--workdir",
                str(tmp_path / "a"),
                "--to",
                str(tmp_path / "out"),
                "--dtype",
                "bfloat16",
            ]
        )
        == 0
    )
    theirs, ours = hf_text.tokenizer(small), hf_text.tokenizer(tmp_path / "out")
    talk = [{"role": "user", "content": "the cat"}]
    assert (
        ours.chat(talk) == theirs.chat(talk)
        and ours.prompt("the cat") == theirs.prompt("the cat")
        and ours.ends == theirs.ends
    )
    assert huggingface.model(tmp_path / "out") == QWEN
    capsys.readouterr()
    options = ["--chat", "--prompt", "the cat", "--tokens", "8", "--temperature", "0"]
    assert said(capsys, "--workdir", tmp_path / "a", *options) and said(
        capsys, "--model", tmp_path / "out", *options
    )
    assert {x.dtype for x in load_file(tmp_path / "out" / "model.safetensors").values()} == {
        np.dtype(jnp.bfloat16)
    }


def test_what_has_no_form_of_theirs_is_not_written(tmp_path):
    for cfg, tokens, message in (
        (llama.Model(vocab=257), tokenizer.Bytes(), "Bytes tokenizer has no Hugging Face form"),
        (dataclasses.replace(gemma.Model(), post_norms=False), None, "no Hugging Face family"),
    ):
        with pytest.raises(UserError, match=message):
            huggingface.save(tmp_path / "a", {}, cfg, tokens, 64)
    assert not (tmp_path / "a").exists()
