"""LoRA's base: trained in the run or read from a folder, frozen, and with its own tokenizer."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from panorax.configs.lm import lora as config

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.data import corpus, tokenizer
from panorax.data.text import Text
from panorax.interop import huggingface
from panorax.lm import language_model, lora
from panorax.nets.decoders import decoder
from panorax.nets.decoders.llama import Model
from panorax.parallel.sharding import make_mesh, placement

MODEL = Model(vocab=300, d_model=16, n_layers=2, n_heads=2, n_kv_heads=1, d_ff=8)
WORDS = [" ".join(f"word{(i * j) % 97}" for j in range(60)) for i in range(8)]


@pytest.mark.parametrize("targets", [("q", "embed"), ("attn_norm",), ()])
def test_targets_must_be_matrices(targets):
    message = "must be some of down gate k o q up v; got " + (" ".join(targets) or "nothing")
    with pytest.raises(UserError, match=message):
        lora.adapted_net(decoder.net(MODEL), lora.Adapter(targets=targets))


def test_the_vocabulary_follows_the_tokenizer_of_the_base():
    base = dataclasses.replace(config.smoke().base, data=Text(tokenizer="bytes"))
    cfg = dataclasses.replace(config.smoke(), base=base, data=Text(tokenizer="byte-pairs"))
    assert lora.implied(cfg) == {"model.vocab": 257}
    folder = dataclasses.replace(cfg, init_from="folder")
    assert lora.implied(folder) == {}


def test_the_base_is_unchanged_and_initial_logits_equal_its_logits():
    plain = decoder.net(MODEL)
    net = lora.adapted_net(plain, lora.Adapter(rank=2, targets=("v", "o")))
    assert set(net.spec) == {"v", "o"} and net.spec["v"]["a"].shape == (2, 16, 2)
    tokens_BT = jnp.asarray(np.arange(12).reshape(2, 6))

    @jax.jit
    def logits_of_both(key):
        factors, base = net.init(key)
        logits, after = net.apply(factors, base, tokens_BT, key=key, train=True)
        assert all(a is b for a, b in zip(jax.tree.leaves(base), jax.tree.leaves(after)))
        return logits.logits(), plain.apply(base, (), tokens_BT)[0].logits()

    ours, theirs = logits_of_both(jax.random.key(0))
    np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def texts(tmp_path):
    """A folder with the folders `old` and `new` of text files."""
    new = [text.replace("word", "mot") for text in WORDS]
    for name, documents in (("old", WORDS[:4]), ("new", new)):
        (tmp_path / name).mkdir()
        for i, text in enumerate(documents):
            (tmp_path / name / f"{i}.txt").write_text(text)
    return tmp_path


def test_the_new_text_is_encoded_by_the_tokenizer_of_the_base(texts):
    old = language_model.Config(model=MODEL, data=Text(str(texts / "old")))
    base, data = lora.Base(data=old.data), Text(str(texts / "new"))
    cfg = lora.Config(model=MODEL, base=base, data=data)
    theirs, ours = language_model.system(old).files(), lora.system(cfg).files()
    assert ours["tokenizer.json"] == theirs["tokenizer.json"]
    assert ours["base_data.json"] == theirs["data.json"] != ours["data.json"]


def test_the_base_may_be_a_hugging_face_folder(texts):
    pairs = tokenizer.BytePairs.train(WORDS, 300)
    params = core_spec.init(decoder.spec(MODEL), jax.random.key(5))
    huggingface.save(texts / "folder", params, MODEL, pairs, 8)
    cfg = lora.started_from(config.smoke(), texts / "folder")
    assert cfg.model == MODEL and not cfg.compare
    system = lora.system(dataclasses.replace(cfg, data=Text(str(texts / "new"))))
    abstract = jax.eval_shape(system.init_state, jax.random.key(0))
    loaded = system.pretrained(placement(system, abstract, make_mesh("fsdp=2,tensor=2")).state)
    assert set(loaded) == {"extra"}
    chex.assert_trees_all_equal(loaded["extra"], params)
    assert jax.tree.leaves(loaded["extra"]["layers"]["q"].sharding.spec)
    assert system.batches(0).max() < 300


def test_the_parts_of_the_default_corpus_are_disjoint_and_complete():
    parts = {name: read() for name, read in corpus.PARTS.items()}
    assert parts["all"] == parts["sources"] + parts["reference"]
    assert sum(map(len, parts["reference"])) > 300_000
    assert not set(parts["sources"]) & set(parts["reference"])
    assert set(corpus.load(None, 0.1, part="reference").train) <= set(parts["reference"])
