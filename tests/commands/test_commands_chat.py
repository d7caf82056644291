"""panorax chat: typed lines, commands, the history that the model reads, and runs without it."""

import io

import jax
import pytest

from panorax import cli
from panorax.commands import chat, generate
from panorax.core import spec as core_spec
from panorax.data.tokenizer import BytePairs, with_chat
from panorax.interop import huggingface
from panorax.nets.decoders import llama
from panorax.ops.sampling import Sampling

TOKENS = with_chat(BytePairs.train(["Hello"], 257))
CFG = llama.Model(vocab=262, d_model=16, n_layers=1, n_heads=2, n_kv_heads=1, d_ff=8)
PARAMS = jax.tree.map(lambda x: 5 * x, core_spec.init(llama.spec(CFG), jax.random.key(1)))
GREEDY = Sampling(temperature=0.0)


def model(context=64):
    return generate.LanguageModel(PARAMS, CFG, TOKENS, GREEDY, context)


@pytest.fixture
def read(monkeypatch):
    """What the model reads, as text; it answers with the number of its messages."""
    texts = []

    def answer(model, ids, key, new, out):
        texts.append(TOKENS.library.decode(ids, skip_special_tokens=False))
        return f"answer {len(texts)}"

    monkeypatch.setattr(chat, "answer", answer)
    return texts


def test_the_model_reads_the_history_until_it_is_reset(read, capsys):
    typed = ["Hi", "", "/what", "Who?", "/reset", "Bye", "/quit", "never"]
    chat.talk(model(400), iter(typed), "Be brief.", 8, 0, io.StringIO())
    start, hi = "<|system|>Be brief.<|end|>", "<|user|>Hi<|end|><|assistant|>"
    assert read == [
        start + hi,
        f"{start}{hi}answer 1<|end|><|user|>Who?<|end|><|assistant|>",
        f"{start}<|user|>Bye<|end|><|assistant|>",
    ]
    assert "unknown command /what; /reset forgets" in capsys.readouterr().err


def test_the_oldest_messages_leave_a_full_context(read):
    chat.talk(model(64), iter(f"question {i}" for i in range(6)), "Be.", 8, 0, io.StringIO())
    assert "question 4" in read[5] and "question 0" not in read[5] and "question 5" in read[5]
    assert all(text.startswith("<|system|>Be.<|end|><|user|>") for text in read)
    assert all(len(TOKENS.encode(text)) + 8 <= 64 for text in read)
    _, ids = chat.fitted(model(64), [{"role": "user", "content": "x" * 100}], 0, 8)
    assert len(ids) > 64  # one message alone is cut by the model's window


def test_a_folder_answers_what_is_piped_and_one_without_template_is_named(
    tmp_path, monkeypatch, capsys
):
    huggingface.save(tmp_path / "chat", PARAMS, CFG, TOKENS, 64, sampling=GREEDY)
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\nHi\n"))
    assert cli.main(["chat", str(tmp_path / "chat"), "--tokens", "4"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 2 and ">" not in out.split("\n")[0][:1]
    plain = BytePairs.train(["Hello"], 262)
    huggingface.save(tmp_path / "plain", PARAMS, CFG, plain, 64)
    assert cli.main(["chat", str(tmp_path / "plain")]) == 2
    error = capsys.readouterr().err
    assert "has no chat template" in error and f"--init-from {tmp_path / 'plain'}" in error
    assert cli.main(["chat", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
