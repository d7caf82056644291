"""Hugging Face folders from the command line: generate --model, run --init-from, export."""

import json
import os
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from streams import Pieces
from weights import QWEN

from panorax import cli
from panorax.core import config
from panorax.core import spec as core_spec
from panorax.engine import run
from panorax.engine.metrics import read_metrics
from panorax.interop import hf_config, hf_text, hf_weights, huggingface
from panorax.lm import language_model
from panorax.nets.decoders import decoder, llama
from panorax.parallel.sharding import make_mesh, parameter_shardings
from panorax.testing.tolerances import GRADIENT, LAYER

SAYS = "mat 🐢ñ.! "
PERIOD = (
    9  # tokens of SAYS; no divisor of the tokens written at once, so that some split characters
)


@pytest.fixture
def parrot(write_tokenizer, byte_level, tmp_path):
    """A folder whose model repeats `SAYS` after any text: the last token determines the next."""
    V = 2 * -(-byte_level.get_vocab_size() // 2)
    cfg = llama.Model(
        vocab=V, d_model=V, n_layers=1, n_heads=1, n_kv_heads=1, d_ff=2, head_dim=2, tied=False
    )
    says = byte_level.encode(SAYS, add_special_tokens=False).ids
    assert len(set(says)) == len(says) == PERIOD
    follows = np.full(V, says[0])
    follows[says] = np.roll(says, -1)
    declared = core_spec.abstract(decoder.spec(cfg))
    params = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), declared)
    eye = np.eye(V, dtype=np.float32)
    params |= {"embed": eye, "head": eye[follows], "norm": np.ones(V, np.float32)}
    directory = write_tokenizer(tmp_path / "parrot", hf_config.write(cfg, 64))
    hf_weights.save(directory, params, cfg)
    return directory


def generated(capsys, *args) -> str:
    """Output of `panorax generate`."""
    assert cli.main(["generate", *map(str, args)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def mistake(capsys, *args) -> str:
    """The one-line error of a command with exit code 2."""
    assert cli.main([*map(str, args)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("panorax: ") and error.count("\n") == 1
    return error


def test_a_text_streams_without_split_characters(parrot, monkeypatch):
    terminal, prompt = Pieces(), "the cat sat on the "
    monkeypatch.setattr(sys, "stdout", terminal)
    assert cli.main(["generate", "--model", str(parrot), "--prompt", prompt, "--tokens", "60"]) == 0
    assert terminal.getvalue().startswith(prompt + SAYS * 3) and terminal.pieces[0] == prompt
    assert len(terminal.pieces) > 4 and not any("�" in piece for piece in terminal.pieces[:-1])


def test_prompts_come_from_options_text_files_and_conversations(parrot, tmp_path, capsys):
    text, lines = tmp_path / "a.txt", tmp_path / "b.jsonl"
    text.write_text("a text: ")
    lines.write_text(
        '{"prompt": "a line: "}\n\n{"messages": [{"role": "user", "content": "hi"}]}\n'
    )
    options = ["--model", parrot, "--tokens", "12"]
    prompts = ["--prompt", "one ", "--prompt", "two "]
    files = ["--prompt-file", text, "--prompt-file", lines]
    outputs = generated(capsys, *options, *prompts, *files).splitlines()
    starts = [line[: line.index(SAYS[:4])] for line in outputs]
    assert starts == ["one ", "two ", "a text: ", "a line: ", ""]
    answer = outputs[-1] + "\n"
    assert generated(capsys, *options, "--chat", "--prompt", "hi") == answer
    assert generated(capsys, *options, "--system", "Be brief", "--prompt", "hi") == answer
    assert generated(capsys, *options) == answer  # without a prompt


def test_a_chat_follows_the_template(small, capsys):
    options = ["--model", small, "--tokens", "8"]
    rendered = "<|system|>Be brief<|end|><|user|>the cat<|end|><|assistant|>"
    plain = generated(capsys, *options, "--prompt", rendered)
    chat = generated(capsys, *options, "--system", "Be brief", "--prompt", "the cat")
    assert plain == rendered + chat


def test_a_batch_generates_the_texts_of_its_rows(small, capsys):
    prompts = ["the cat", "an émoji 🙂 is", "dog sat on the log and"]
    options = ["--model", small, "--tokens", "20"]
    alone = "".join(generated(capsys, *options, "--prompt", prompt) for prompt in prompts)
    together = [*options, *(x for prompt in prompts for x in ("--prompt", prompt))]
    assert generated(capsys, *together) == alone
    assert generated(capsys, *together, "--batch", "2") == alone
    assert generated(capsys, *together, "--mesh", "fsdp=2,tensor=2") == alone


def test_options_override_the_sampling_of_the_folder(small, capsys):
    options = ["--model", small, "--tokens", "20", "--prompt", "the cat"]
    greedy = generated(capsys, *options)
    settings = {"do_sample": True, "temperature": 5.0, "eos_token_id": 1}
    (small / "generation_config.json").write_text(json.dumps(settings))
    sampled = generated(capsys, *options)
    assert sampled == generated(capsys, *options) != greedy
    assert sampled != generated(capsys, *options, "--seed", "1")
    assert generated(capsys, *options, "--temperature", "0") == greedy
    assert generated(capsys, *options, "--top-k", "1") == greedy


def test_stored_half_precision_equals_half_precision_by_option(small, capsys):
    options = ["--model", small, "--tokens", "4", "--prompt", "the cat"]
    half = generated(capsys, *options, "--dtype", "bfloat16")
    file = small / "model.safetensors"
    save_file({name: x.astype(jnp.bfloat16) for name, x in load_file(file).items()}, file)
    assert generated(capsys, *options) == half


def test_the_space_before_the_first_generated_word_is_kept(parrot, write_tokenizer, capsys):
    """Tokenizers like Llama 2's drop the first space of a text; generated text is not the first."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {"▁once": 0, "▁upon": 1, "▁a": 2, "<end>": 3}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<end>"))
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    words.decoder = decoders.Metaspace(prepend_scheme="first")
    cfg = hf_config.read(json.loads((parrot / "config.json").read_text()))
    write_tokenizer(parrot, hf_config.write(cfg, 64), {"eos_token": "<end>"}, tokens=words)
    stored = load_file(parrot / "model.safetensors")
    head = np.zeros_like(stored["lm_head.weight"])
    head[[1, 2, 3], [0, 1, 2]] = 1
    save_file(stored | {"lm_head.weight": head}, parrot / "model.safetensors")
    one, two = ["--prompt", "once"], ["--prompt", "once upon"]
    assert generated(capsys, "--model", parrot, *one) == "once upon a\n"
    assert generated(capsys, "--model", parrot, *one, *two) == "once upon a\n" * 2


@pytest.mark.parametrize(
    "options, message",
    [
        (["--chat"], "--chat needs a --prompt or a --prompt-file"),
        (["--prompt", "a", "--batch", "0"], "--batch must be at least 1"),
        (["--prompt", "a", "--tokens", "0"], "--tokens must be at least 1"),
        (["--prompt", "a", "--temperature", "-1"], "temperature must be at least 0"),
        (["--prompt", "a", "--top-p", "2"], "top-p must be"),
        (["--prompt", "a", "--seed", str(2**80)], "--seed"),
        (["--prompt", "a", "--mesh", "rows=2"], "bad mesh"),
        (["--prompt", "\udcff"], "half of a character"),
    ],
)
def test_an_invalid_option_of_generate_is_one_line(small, capsys, options, message):
    assert message in mistake(capsys, "generate", "--model", small, *options)


def test_an_invalid_file_of_generate_is_one_line(small, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.jsonl").write_text("{}\n")
    error = lambda *args: mistake(capsys, "generate", *args)
    file = lambda name: error("--model", small, "--prompt-file", tmp_path / name)
    prompted = lambda model: error("--model", model, "--prompt", "a")
    assert "has no config.json" in prompted(tmp_path / "nowhere")
    assert "has no config.json" in prompted(tmp_path / "empty")
    assert "bad.jsonl, line 1" in file("bad.jsonl")
    assert "nowhere.txt cannot be read" in file("nowhere.txt")
    assert "--mesh, --dtype and --ignore-key are for --model" in error(
        "--workdir", small, "--dtype=bfloat16"
    )
    (small / "tokenizer_config.json").write_text('{"eos_token": "<|end|>"}')
    assert "no chat template" in error("--model", small, "--chat", "--prompt", "a")
    (small / "model.safetensors").unlink()
    (small / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "has neither model.safetensors" in prompted(small)


@pytest.mark.parametrize(
    "args", ["--model a --workdir b", "--prompt a", "--model", "--model a --promt b"]
)
def test_a_wrong_command_is_one_line(capsys, args):
    with pytest.raises(SystemExit) as stop:
        cli.main(["generate", *args.split()])
    assert stop.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_generate_makes_the_cpu_devices_of_its_mesh(small):
    devices = ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")
    environment = {name: value for name, value in os.environ.items() if name not in devices}
    options = ["--model", small, "--mesh", "tensor=2", "--prompt", "the cat", "--tokens", "4"]
    command = [sys.executable, "-m", "panorax", "generate", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("the cat") and done.stderr == ""


STORY = "\n".join(f"once upon a time {i} frogs sat on {i * i % 91} leaves" for i in range(300))
STEPS = (
    "--context=8 --stride=8 --batch=4 --run.chunk=1 --run.steps=2 "
    "--optim.warmup=0 --optim.schedule=constant"
).split()


@pytest.fixture
def story(tmp_path):
    """Options of a run of two steps on a small text."""
    (tmp_path / "story.txt").write_text(STORY)
    return [f"--data.path={tmp_path / 'story.txt'}", *STEPS]


def start(workdir, *args):
    """Exit code of a smoke run of lm/llama."""
    return cli.main(["run", "lm/llama", "--smoke", "--workdir", str(workdir), *map(str, args)])


def params_of(workdir):
    """Trained parameters of a run."""
    cfg = run.config_of(workdir)
    return run.restore(workdir, config.module_of(cfg).system(cfg).init_state).params


def test_a_run_starts_from_a_folder_on_one_device_and_on_many(small, story, tmp_path):
    losses = {}
    for name, mesh in (("one", ""), ("many", "data=2,fsdp=2,tensor=2")):
        workdir = tmp_path / name
        assert start(workdir, "--init-from", small, "--mesh", mesh, *story) == 0
        rows = read_metrics(workdir / "metrics.jsonl")
        losses[name] = [row["loss"] for row in rows if "loss" in row]
    cfg = run.config_of(tmp_path / "one")
    assert cfg.model == QWEN and cfg.init_from == str(small)
    net = decoder.net(QWEN)
    params = hf_weights.load(small, QWEN, parameter_shardings(net.spec, make_mesh("")))
    batch = jnp.asarray(language_model.system(cfg).batches(0))
    loss, _ = language_model.loss_fn(params, (), batch, None, net)
    np.testing.assert_allclose(losses["one"][0], loss, **LAYER)
    np.testing.assert_allclose(losses["many"], losses["one"], **GRADIENT)
    assert (tmp_path / "one" / "tokenizer.json").is_file()
    result = json.loads((tmp_path / "one" / "result.json").read_text())
    assert result["parameters"] == core_spec.count(net.spec)


def test_a_run_from_a_folder_is_resumed_without_its_weights(small, story, tmp_path, capsys):
    whole, cut, options = tmp_path / "whole", tmp_path / "cut", ["--init-from", small, *story]
    assert start(whole, *options, "--run.steps=4") == 0
    assert start(cut, *options, "--run.steps=2") == 0
    (small / "model.safetensors").unlink()
    assert start(cut, *options, "--run.steps=4", "--resume") == 0
    chex.assert_trees_all_equal(params_of(whole), params_of(cut))
    smoke = ["run", "lm/llama", "--smoke", "--workdir", tmp_path / "new"]
    assert "has neither model.safetensors" in mistake(capsys, *smoke, *options)


def test_help_lists_the_options_of_the_folders_model(small, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        start(tmp_path / "a", "--init-from", small, "--help")
    text = capsys.readouterr().out
    assert stop.value.code == 0
    for option in ("--model.bias", "--model.positions.slow", "(default: 320)"):
        assert option in text


@pytest.mark.parametrize(
    "option",
    [
        "--model.d-model=32",
        "--model.n-layers=1",
        "--model.vocab=400",
        "--model.norm-eps=0.1",
        "--model.positions.factor=2",
        "--model.windows=4",
        "--model.tied=False",
        "--model.bias=False",
    ],
)
def test_an_option_that_contradicts_the_folder_is_one_line(small, story, tmp_path, capsys, option):
    smoke = ["run", "lm/llama", "--smoke", "--workdir", tmp_path / "a"]
    error = mistake(capsys, *smoke, "--init-from", small, *story, option)
    assert option.split("=")[0] in error and f"contradicts {small}" in error
    assert not (tmp_path / "a").exists()


def test_options_of_the_computation_may_differ_from_the_folder(small, story, tmp_path):
    options = "--model.dtype=bfloat16 --model.remat=layers --model.unroll=2".split()
    assert start(tmp_path / "a", "--init-from", small, *story, *options) == 0
    assert {x.dtype for x in jax.tree.leaves(params_of(tmp_path / "a"))} == {np.dtype("float32")}


def test_only_language_models_start_from_a_folder(small, tmp_path, capsys):
    smoke = ["--smoke", "--workdir", tmp_path / "a", "--init-from"]
    flow = mistake(capsys, "run", "generative/flow_matching_2d", *smoke, small)
    assert "--init-from starts language models" in flow
    nowhere = mistake(capsys, "run", "lm/llama", *smoke, tmp_path / "nowhere")
    assert "has no config.json" in nowhere


def test_an_exported_run_generates_the_texts_of_the_run(story, tmp_path, capsys):
    workdir, out = tmp_path / "a", tmp_path / "out"
    sizes = (
        "--data.tokenizer=byte-pairs --model.vocab=300 --model.d-model=16 --model.n-layers=2 "
        "--model.d-ff=16 --optim.peak-lr=0.03 --run.steps=20"
    ).split()
    assert start(workdir, *story, *sizes) == 0
    assert cli.main(["export", "--workdir", str(workdir), "--to", str(out)]) == 0
    capsys.readouterr()
    options = ["--prompt", "once upon", "--prompt", "frogs", "--tokens", "20", "--temperature", "0"]
    text = generated(capsys, "--workdir", workdir, *options)
    assert generated(capsys, "--model", out, *options) == text
    configs = {"config.json", "generation_config.json", "tokenizer_config.json"}
    assert {path.name for path in out.iterdir()} == configs | {
        "model.safetensors",
        "tokenizer.json",
    }
    for source, target, message in (
        (workdir, out, "is not empty; a model is written to a new folder"),
        (workdir, tmp_path / "story.txt", "cannot write"),
        (tmp_path / "out2", tmp_path / "b", "is not the directory of a run"),
    ):
        assert message in mistake(capsys, "export", "--workdir", source, "--to", target)


def test_a_tuned_folder_is_exported_with_its_tokenizer(small, story, tmp_path, capsys):
    workdir, out = tmp_path / "a", tmp_path / "out"
    assert start(workdir, "--init-from", small, *story) == 0
    command = ["export", "--workdir", workdir, "--to", out, "--dtype", "bfloat16"]
    assert cli.main([*map(str, command)]) == 0
    theirs, ours = hf_text.tokenizer(small), hf_text.tokenizer(out)
    talk = [{"role": "user", "content": "the cat"}]
    assert ours.chat(talk) == theirs.chat(talk)
    assert ours.prompt("the cat") == theirs.prompt("the cat") and ours.ends == theirs.ends
    assert huggingface.model(out) == QWEN
    capsys.readouterr()
    options = ["--chat", "--prompt", "the cat", "--tokens", "8", "--temperature", "0"]
    assert generated(capsys, "--workdir", workdir, *options)
    assert generated(capsys, "--model", out, *options)
    stored = load_file(out / "model.safetensors")
    assert {x.dtype for x in stored.values()} == {np.dtype(jnp.bfloat16)}


def test_an_export_keeps_the_settings_of_the_folder(small, story, tmp_path):
    settings = {
        "config": {"max_position_embeddings": 4096, "pad_token_id": 4, "bos_token_id": 0},
        "tokenizer_config": {"model_max_length": 8192, "padding_side": "left"},
        "generation_config": {"do_sample": True, "top_p": 0.9, "repetition_penalty": 1.1},
    }
    for name, added in settings.items():
        path = small / f"{name}.json"
        old = json.loads(path.read_text()) if path.exists() else {"eos_token_id": [1, 3]}
        path.write_text(json.dumps(old | added))
    workdir, out = tmp_path / "a", tmp_path / "out"
    assert start(workdir, "--init-from", small, *story) == 0
    assert cli.main(["export", "--workdir", str(workdir), "--to", str(out)]) == 0
    written = {name: json.loads((out / f"{name}.json").read_text()) for name in settings}
    for name, kept in settings.items():
        assert written[name].items() >= kept.items(), name
    assert written["generation_config"]["eos_token_id"] == [1, 3]
    assert hf_text.sampling(out) == hf_text.sampling(small)
    assert huggingface.context(out) == 4096


def test_unknown_keys_are_ignored_by_name_and_named(small, story, tmp_path, capsys):
    path = small / "config.json"
    extra = {"unsloth_fixed": True, "transformers.js_config": {}, "_commit_hash": None}
    path.write_text(json.dumps(json.loads(path.read_text()) | extra))
    command = ["generate", "--model", small, "--prompt", "the cat", "--tokens", "2"]
    ignored = [x for key in extra for x in ("--ignore-key", key)]
    error = mistake(capsys, *command)
    assert "_commit_hash, transformers.js_config, unsloth_fixed" in error and ignored[1] in error
    assert cli.main([*map(str, command), *ignored]) == 0
    named = f"config.json: ignored {', '.join(extra)}"
    assert named in capsys.readouterr().err
    options = ["--init-from", small, *ignored, *story]
    assert start(tmp_path / "a", *options) == 0 and named in capsys.readouterr().err
    assert "no unknown key hidden_act" in mistake(capsys, *command, "--ignore-key", "hidden_act")
    assert "are for --model" in mistake(
        capsys, "generate", "--workdir", tmp_path / "a", "--ignore-key", "a"
    )
