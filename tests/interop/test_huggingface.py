"""A folder as people have them, from the command line: written by hand here, with a tokenizer of several special tokens and a chat template."""

import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax import cli, run
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.metrics import read_metrics
from panorax.interop import hf_text, hf_weights, huggingface
from panorax.lm import chat, llama, writing
from panorax.nets import decoder
from panorax.ops.sampling import Sampling
from panorax.parallel.sharding import make_mesh, parameter_shardings

MODEL = llama.Model(vocab=300, d_model=16, n_layers=2, n_heads=2, n_kv_heads=2, d_ff=24, tied=False)
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}{% if messages[0]['content'] == 'refuse' %}{{ raise_exception('no such talk') }}{% endif %}"
)


def library():
    """Every byte a token, and four special ones; a text begins with <s>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 256)])
    return tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    params = jax.tree.map(lambda x: 4 * x, core_spec.init(llama.spec(MODEL), jax.random.key(1)))
    huggingface.save(path, params, MODEL, hf_text.Pretrained(library(), (257, 259), TEMPLATE, (("bos_token", "<s>"), ("eos_token", "</s>"))), 64)
    return path


def ran(capsys, *args, code=0):
    assert cli.main([*map(str, args)]) == code
    said = capsys.readouterr()
    return said.err if code else said.out


def test_the_tokenizer_is_the_folders(folder):
    tokens = hf_text.tokenizer(folder)
    assert tokens.ends == (257, 259) and tokens.end == 257 and tokens.vocab_size == 261
    assert tokens.prompt("a")[0] == 256 and tokens.encode("a") == tokens.prompt("a")[1:]
    assert tokens.decode(tokens.prompt("naïve 😀")) == "naïve 😀"
    asked = tokens.chat([{"role": "user", "content": "hi"}])
    assert asked[0] == 258 and asked[-2:] == [257, 259] and tokens.decode(asked) == "hi"


def test_ends_come_from_wherever_the_folder_says_them(folder, tmp_path):
    (tmp_path / "tokenizer.json").write_text((folder / "tokenizer.json").read_text())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="does not say which token ends a text"):
        hf_text.tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "</s>"}, "chat_template": [{"name": "default", "template": "x"}]}))
    tokens = hf_text.tokenizer(tmp_path)
    assert tokens.ends == (257,) and tokens.template == "x"
    (tmp_path / "config.json").write_text('{"eos_token_id": 5}')
    assert hf_text.tokenizer(tmp_path).ends == (5,)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 8], "do_sample": true, "temperature": 0.6}')
    (tmp_path / "chat_template.jinja").write_text("y")
    assert hf_text.tokenizer(tmp_path).ends == (7, 8) and hf_text.tokenizer(tmp_path).template == "y"
    assert hf_text.sampling(tmp_path) == Sampling(temperature=0.6, top_k=50)


def test_a_template_is_a_strangers_code(folder):
    assert chat.render("{{ messages[0].content|tojson }}", [{"role": "user", "content": "é"}], {}) == '"é"'
    for template in ("{{ ''.__class__.__mro__ }}", "{{ messages.append(1) }}", "{% for %}", "{{ raise_exception('no') }}", None):
        with pytest.raises(UserError, match="template"):
            chat.render(template, [], {})


def test_generate_continues_prompts_alone_in_batches_and_from_files(folder, tmp_path, capsys):
    greedy = ("--temperature", 0, "--tokens", 20)
    one = ran(capsys, "generate", "--model", folder, "--prompt", "ab", *greedy)
    other = ran(capsys, "generate", "--model", folder, "--prompt", "a longer one", *greedy)
    assert one.startswith("ab") and other.startswith("a longer one") and len(one) > 3
    assert ran(capsys, "generate", "--model", folder, "--prompt", "ab", "--prompt", "a longer one", *greedy) == one + other
    assert ran(capsys, "generate", "--model", folder, "--prompt", "ab", "--prompt", "a longer one", "--batch", 1, *greedy) == one + other
    (tmp_path / "a.txt").write_text("ab")
    (tmp_path / "b.jsonl").write_text('{"prompt": "a longer one"}\n\n{"messages": [{"role": "user", "content": "hi"}]}\n')
    said = ran(capsys, "generate", "--model", folder, "--prompt-file", tmp_path / "a.txt", "--prompt-file", tmp_path / "b.jsonl", *greedy)
    asked = ran(capsys, "generate", "--model", folder, "--chat", "--prompt", "hi", *greedy)
    assert said == one + other + asked
    assert ran(capsys, "generate", "--model", folder, "--prompt", "hi", "--system", "be kind", *greedy) != asked
    assert ran(capsys, "generate", "--model", folder, "--prompt", "ab", "--mesh", "tensor=2,fsdp=2", *greedy) == one


@pytest.mark.parametrize(
    "args, message",
    [
        (("--prompt-file", "nowhere.txt"), "nowhere.txt cannot be read"),
        (("--prompt-file", "{bad}"), 'line 1: {"prompt": text} or'),
        (("--chat",), "give a --prompt"),
        (("--chat", "--prompt", "refuse"), "no such talk"),
        (("--prompt", "a", "--tokens", "0"), "at least one token"),
        (("--prompt", "a", "--top-p", "2"), "top-p must be"),
        (("--prompt", "a", "--mesh", "tensor=9"), "needs 9 devices"),
    ],
)
def test_what_cannot_be_generated_is_one_line(folder, tmp_path, capsys, args, message):
    (tmp_path / "bad.jsonl").write_text('{"prompt": 3}\n')
    args = [arg.format(bad=tmp_path / "bad.jsonl") for arg in args]
    error = ran(capsys, "generate", "--model", folder, *args, code=2)
    assert message in error and error.count("\n") == 1


def test_a_folder_that_is_none_is_one_line(tmp_path, capsys):
    assert "has no config.json" in ran(capsys, "generate", "--model", tmp_path, code=2)
    (tmp_path / "config.json").write_text("[]")
    assert "holds no JSON object" in ran(capsys, "generate", "--model", tmp_path, code=2)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    assert "model_type 'gpt2'" in ran(capsys, "run", "lm/llama", "--smoke", "--init-from", tmp_path, code=2)


class Typed:
    """Bytes as tokens 0-255."""

    def __init__(self, pieces):
        self.pieces = pieces

    def texts(self):
        said = b""
        for piece in self.pieces:
            said += piece
            yield said.decode("utf-8", "replace")


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_character_is_not_torn_between_pieces(cut):
    data, out = "a😀é".encode(), io.StringIO()
    writing._as_it_grows("> ", Typed([data[:cut], data[cut:]]).texts(), out)
    assert out.getvalue() == "> a😀é\n"


def test_training_starts_from_the_folder_and_goes_on(folder, tmp_path, capsys):
    start = ("run", "lm/llama", "--smoke", "--init-from", folder, "--workdir")
    args = (*start, tmp_path / "a", "--optim.peak-lr", 1e-9, "--run.chunk", 1, "--optim.warmup", 0)
    ran(capsys, *args, "--run.steps", 2, "--mesh", "fsdp=2,tensor=2")
    cfg = run.config_of(tmp_path / "a")
    assert cfg.model == MODEL and cfg.init_from == str(folder)
    params = hf_weights.load(folder, MODEL, parameter_shardings(decoder.spec(MODEL), make_mesh("")))
    loss, _ = llama.loss_fn(params, (), jnp.asarray(llama.system(cfg).batches(0)), None, cfg)
    np.testing.assert_allclose(read_metrics(tmp_path / "a" / "metrics.jsonl")[0]["loss"], loss, rtol=1e-4)
    ran(capsys, *args, "--resume", "--run.steps", 4)
    assert run.newest_step(tmp_path / "a") == 4
    assert "--model.d-model 32 contradicts" in ran(capsys, *args, "--resume", "--model.d-model", 32, code=2)
    assert "--model.d-ff 32 contradicts" in ran(capsys, *start, tmp_path / "b", "--model.d-ff", 32, code=2)
    assert not (tmp_path / "b").exists()


def test_a_run_is_exported_as_a_folder_that_says_the_same(tmp_path, capsys):
    ran(capsys, "run", "lm/llama", "--smoke", "--data.tokenizer", "byte-pairs", "--run.steps", 2, "--workdir", tmp_path / "a")
    ran(capsys, "export", "--workdir", tmp_path / "a", "--to", tmp_path / "b")
    said = [ran(capsys, "generate", *source, "--prompt", "def ", "--tokens", 12, "--temperature", 0) for source in (("--workdir", tmp_path / "a"), ("--model", tmp_path / "b"))]
    assert said[0] == said[1]
    ran(capsys, "run", "lm/llama", "--smoke", "--run.steps", 2, "--workdir", tmp_path / "c")
    assert "a Bytes tokenizer has no Hugging Face form" in ran(capsys, "export", "--workdir", tmp_path / "c", "--to", tmp_path / "d", code=2)
    assert not (tmp_path / "d").exists()
