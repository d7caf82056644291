"""Fine-tuning on conversations: the loss of answers, users' files, and folders to start from."""

import dataclasses
import json
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from panorax.configs.alignment import sft as config

from panorax import cli
from panorax.alignment import answers, instructions, sft
from panorax.commands import run
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.data import packing, tokenizer
from panorax.data.packing import Example
from panorax.interop import huggingface
from panorax.nets.decoders import decoder, packed
from panorax.nets.decoders.llama import Model
from panorax.parallel.sharding import make_mesh, placement
from panorax.testing.tolerances import SAME

MODEL = Model(vocab=31, d_model=16, n_layers=2, n_heads=2, n_kv_heads=1, d_ff=8)
NET = packed.net(MODEL)
ROWS = packing.pack(
    [Example(np.arange(1, n), np.arange(1, n) > 2 + n % 3) for n in (7, 12, 6, 9, 11, 14, 5, 8)], 15
)
CHATS = [{"prompt": f"What is {i}?", "completion": f"It is {i}."} for i in range(12)]


@pytest.fixture(scope="module")
def params():
    return core_spec.init(NET.spec, jax.random.key(0))


def loss(params, rows):
    return sft.loss_fn(params, (), jax.tree.map(jnp.asarray, rows), None, NET)[0]


def test_micro_batches_of_different_numbers_of_answers_give_the_loss_of_the_batch(params):
    rows = packing.balanced({name: x[:4] for name, x in ROWS.items()})
    halves = [{name: x[part] for name, x in rows.items()} for part in (slice(2), slice(2, 4))]
    assert halves[0]["weights"].sum() != halves[1]["weights"].sum()
    mean = np.mean([loss(params, half) for half in halves])
    np.testing.assert_allclose(mean, loss(params, rows), **SAME)


def test_only_answers_are_trained(params):
    rows = packing.balanced(ROWS)
    assert sft.masked_gradient(params, ROWS, NET) == 0.0
    everything = {**ROWS, "weights": np.ones_like(ROWS["weights"])}
    assert float(loss(params, packing.balanced(everything))) != float(loss(params, rows))


def test_the_gap_of_packing_is_rounding_and_sees_attention_across_conversations(params):
    assert sft.packing_gap(params, ROWS, NET) < 1e-5
    leaking = dataclasses.replace(
        NET, apply=lambda p, extra, x, s, t, **k: NET.apply(p, extra, x, jnp.zeros_like(s), t, **k)
    )
    assert sft.packing_gap(params, ROWS, leaking) > 1e-3


def write(path, chats):
    path.write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    return str(path)


def test_a_users_conversations_are_split_encoded_and_left_out_if_too_long(tmp_path):
    long = {"prompt": "word " * 200, "completion": "late"}
    path = write(tmp_path / "chats.jsonl", [*CHATS, long])
    data = dataclasses.replace(config.smoke().data, path=path, held_out=0.25)
    split = instructions.conversations_of(data, 0)
    loaded = instructions.load(split, 300, 64, None)
    assert len(split.train) == 10 and len(split.held_out) == 3 and loaded.tokenizer.template
    left_out = long["prompt"] in {m[0]["content"] for m in split.train}
    assert packing.texts(loaded.train) == 10 - left_out
    assert ("1 without an answer in a row are left out" in loaded.summary()) == left_out
    assert json.loads(loaded.files()["data.json"])["train_rows"] == len(loaded.train["tokens"])
    with pytest.raises(UserError, match="no training conversation has an answer within 3 tokens"):
        instructions.load(split, 300, 3, None)


def test_a_faulty_file_ends_the_run_with_one_line_before_training(tmp_path, capsys):
    path = write(tmp_path / "x.jsonl", [*CHATS, {"messages": [{"role": "robot", "content": "a"}]}])
    command = ["run", "alignment/sft", "--smoke", "--workdir", str(tmp_path / "run")]
    assert cli.main([*command, "--data.path", path]) == 2
    error = capsys.readouterr().err
    assert "x.jsonl, line 13" in error and "unknown role 'robot'" in error
    assert error.count("\n") == 1 and not (tmp_path / "run" / "checkpoints").exists()


def test_a_folder_without_template_gains_its_tokens_and_keeps_its_weights(tmp_path):
    pairs = tokenizer.BytePairs.train(["What is it?"], 260)
    model = dataclasses.replace(MODEL, vocab=260, tied=False)
    old = core_spec.init(decoder.spec(model), jax.random.key(5))
    huggingface.save(tmp_path / "folder", old, model, pairs, 64)
    cfg = sft.started_from(config.smoke(), tmp_path / "folder")
    assert cfg.model == dataclasses.replace(model, vocab=265)
    system = sft.system(cfg)
    abstract = jax.eval_shape(system.init_state, jax.random.key(0))
    shardings = placement(system, abstract, make_mesh("fsdp=2")).state
    new = jax.device_get(system.pretrained(shardings)["params"])
    np.testing.assert_array_equal(new["embed"][:260], old["embed"])
    np.testing.assert_array_equal(new["head"][:, :260], old["head"])
    mean = np.mean(old["head"], 1, keepdims=True)
    np.testing.assert_allclose(new["head"][:, 260:], np.tile(mean, 5), **SAME)
    assert system.batches(0)["tokens"].max() == 264 and "huggingface.json" in system.files()
    with pytest.raises(UserError, match="model.d-model 32 contradicts"):
        wrong = dataclasses.replace(cfg, model=dataclasses.replace(cfg.model, d_model=32))
        instructions.pretrained(wrong, shardings)


def test_scores_count_exact_answers_by_family():
    talk = lambda prompt, answer: instructions.turns(prompt, answer)
    given = [
        answers.Answer(talk("Repeat a b.", "a b"), " a b\n"),
        answers.Answer(talk("Repeat c d.", "c d"), "c d."),
        answers.Answer(talk("1 + 2 =", "3"), "3"),
        answers.Answer(talk("Who are you?", "A model"), "A model"),
    ]
    scores = answers.scores(given)
    assert scores == {"exact_match": 0.75, "exact_match_copy": 0.5, "exact_match_add": 1.0}
    assert "c d.      (reference: c d)" in answers.shown(given)


def test_a_run_is_a_folder_to_start_from(tmp_path, monkeypatch):
    """The newest checkpoint is exported once; a second start finds the folder."""
    commands = []

    def export(command, **options):
        commands.append(command)
        (tmp_path / ".huggingface-40").mkdir()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(run.subprocess, "run", export)
    monkeypatch.setattr("panorax.engine.run.newest_step", lambda path: 40)
    folder = tmp_path / "huggingface-40"
    assert run._folder_of(tmp_path, False) == folder == run._folder_of(tmp_path, True)
    assert len(commands) == 1 and commands[0][3:5] == ["export", "--workdir"]
    assert folder.is_dir() and not (tmp_path / ".huggingface-40").exists()


def test_a_run_that_cannot_be_exported_is_named_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("panorax.engine.run.newest_step", lambda path: 40)
    with pytest.raises(UserError, match="panorax export --workdir"):
        run._folder_of(tmp_path, True)
    failed = subprocess.CompletedProcess([], 2, "", "warning\npanorax: it has no tokenizer\n")
    monkeypatch.setattr(run.subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(UserError, match="^it has no tokenizer$"):
        run._folder_of(tmp_path, False)
    monkeypatch.setattr("panorax.engine.run.newest_step", lambda path: None)
    assert run._folder_of(tmp_path, True) == tmp_path
