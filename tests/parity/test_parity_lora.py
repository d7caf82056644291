"""LoRA on a Llama against peft: logits, gradients of all factors, merged weights."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from panorax.interop import hf_config, hf_weights
from panorax.lm import lora
from panorax.nets.decoders import decoder
from panorax.ops.losses import next_token_loss
from panorax.ops.low_rank import merged_tree
from panorax.parallel.sharding import make_mesh, parameter_shardings
from panorax.testing.tolerances import LAYER, SAME

MATRICES = ("q", "k", "v", "o", "gate", "up", "down")


def parameters(tensors, model, directory):
    """Parameters of the decoder from tensors with Hugging Face names."""
    directory.mkdir()
    save_file({name: np.asarray(x) for name, x in tensors.items()}, directory / "model.safetensors")
    place = parameter_shardings(decoder.spec(model), make_mesh(""))
    return hf_weights.load(directory, model, place)


def factors(tensors, net, model):
    """Our factors from peft's A (r, in) and B (out, r), one tensor per layer."""
    names = hf_weights.table(model)

    def stacked(ours, factor, theirs):
        layers = [name.replace("weight", f"{theirs}.weight") for name, _ in names[f"layers/{ours}"]]
        x = np.stack([np.asarray(tensors[name]).T for name in layers])
        return jnp.asarray(x.reshape(net.spec[ours][factor].shape))

    sides = {"a": "lora_A", "b": "lora_B"}
    return {q: {side: stacked(q, side, sides[side]) for side in sides} for q in net.spec}


def test_logits_gradients_of_all_factors_and_merged_weights(golden, tmp_path):
    with golden("lora/everywhere") as case:
        model, ids = hf_config.read(case.settings("config")), case["ids"]
        options = case.group("options")
        adapter = lora.Adapter(int(options["r"]), float(options["alpha"]), MATRICES)
        net = lora.adapted_net(decoder.net(model), adapter)
        tensors = case.group("param")
        base = parameters(tensors, model, tmp_path / "base")

        @jax.jit
        def forward_and_backward(params):
            def loss(params):
                logits_BTV = net.apply(params, base, ids)[0].logits()
                return next_token_loss(logits_BTV[:, :-1], ids), logits_BTV

            return jax.grad(loss, has_aux=True)(params)

        params = factors(case.group("factor"), net, model)
        gradients, logits = forward_and_backward(params)
        np.testing.assert_allclose(logits, case["logits"], **LAYER)
        theirs = factors(case.group("grad"), net, model)
        chex.assert_trees_all_close(gradients, theirs, **SAME)

        whole = merged_tree(lora.with_factors(base, params, adapter))
        theirs = parameters(tensors | case.group("merged"), model, tmp_path / "merged")
        chex.assert_trees_all_close(whole, theirs, **SAME)
