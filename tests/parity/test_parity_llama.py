"""Llama against transformers: logits, loss and the gradient in every parameter; the published models' parameter counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.core.config import load
from panorax.lm import llama

THEIR_NAMES = {
    "vocab": "vocab_size",
    "d_model": "hidden_size",
    "d_ff": "intermediate_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "rope_theta": "rope_theta",
    "norm_eps": "rms_norm_eps",
    "tied": "tie_word_embeddings",
}


def to_ours(theirs: dict, cfg: llama.Model) -> dict:
    """Our tree from transformers' names, whose matrices are (out, in) with heads as blocks of rows; every entry must be used."""
    left, D = dict(theirs), cfg.d_model

    def matrices(name):
        return jnp.stack([left.pop(f"model.layers.{l}.{name}.weight").T for l in range(cfg.n_layers)])

    def heads(name):
        w_LDF = matrices(name)
        return w_LDF.reshape(cfg.n_layers, D, -1, D // cfg.n_heads)

    ours = {
        "embed": left.pop("model.embed_tokens.weight"),
        "layers": {
            "attn_norm": matrices("input_layernorm"),
            "q": heads("self_attn.q_proj"),
            "k": heads("self_attn.k_proj"),
            "v": heads("self_attn.v_proj"),
            "o": matrices("self_attn.o_proj").reshape(cfg.n_layers, cfg.n_heads, -1, D),
            "mlp_norm": matrices("post_attention_layernorm"),
            "gate": matrices("mlp.gate_proj"),
            "up": matrices("mlp.up_proj"),
            "down": matrices("mlp.down_proj"),
        },
        "norm": left.pop("model.norm.weight"),
    }
    if not cfg.tied:
        ours["head"] = left.pop("lm_head.weight").T
    assert not left, f"weights that have no place here: {', '.join(left)}"
    return ours


@pytest.mark.parametrize("name", ["llama/untied", "llama/tied"])
def test_logits_loss_and_gradients(golden, name):
    with golden(name) as case:
        settings, ids = case.settings(), case["ids"]
        model = llama.Model(**{ours: settings[theirs] for ours, theirs in THEIR_NAMES.items()})
        params, gradients = to_ours(case.group("param"), model), to_ours(case.group("grad"), model)
        assert jax.tree.map(jnp.shape, params) == core_spec.map_spec(lambda p: p.shape, llama.spec(model))

        @jax.jit
        def forward_and_backward(params):
            loss = lambda params: llama.loss_fn(params, (), ids, None, llama.Config(model=model))[0]
            return llama.apply(params, ids, model), jax.value_and_grad(loss)(params)

        our_logits, (our_loss, our_gradients) = forward_and_backward(params)
        np.testing.assert_allclose(our_logits, case["logits"], rtol=1e-5, atol=2e-5)
        np.testing.assert_allclose(our_loss, case["loss"], rtol=1e-6)
        for (path, ours), theirs in zip(jax.tree.leaves_with_path(our_gradients), jax.tree.leaves(gradients), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-6, err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize("name", ["counts/llama2_7b", "counts/llama2_70b", "counts/llama3_8b"])
def test_published_parameter_counts(golden, name):
    with golden(name) as case:
        settings = case.settings()
        config = name.replace("counts/", "lm/")
        model = load(config, (config,)).get_config().model
        assert core_spec.count(llama.spec(model)) == settings.pop("parameters")
        assert {theirs: getattr(model, ours) for ours, theirs in THEIR_NAMES.items() if theirs in settings} == settings
