"""Every family of decoders read from a Hugging Face folder against transformers: logits, loss and the gradient in every parameter; saved, the folder is theirs again.
The published models' parameter counts."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from panorax.commands import experiment
from panorax.core import spec as core_spec
from panorax.interop import hf_config, hf_weights
from panorax.nets.decoders import decoder
from panorax.ops.losses import cross_entropy
from panorax.parallel.sharding import make_mesh, parameter_shardings

CASES = (
    "families/llama",
    "families/llama_tied",
    "families/llama_linear",
    "families/llama_dynamic",
    "families/llama_yarn",
    "families/llama_llama3",
    "families/mistral",
    "families/qwen2",
    "families/qwen3",
    "families/gemma",
    "families/gemma2",
)


def folder(case, tmp_path):
    """A folder as transformers writes it, of a case's weights."""
    config = case.settings("config")
    weights, gradients = (
        {name: np.asarray(x) for name, x in case.group(kind).items()} for kind in ("param", "grad")
    )
    for name, tensors in (("weights", weights), ("gradients", gradients)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        save_file(tensors, tmp_path / name / "model.safetensors")
    return tmp_path / "weights", tmp_path / "gradients", config


@pytest.mark.parametrize("name", CASES)
def test_logits_loss_gradients_and_the_way_back(golden, name, tmp_path):
    with golden(name) as case:
        directory, gradient_directory, config = folder(case, tmp_path)
        model, ids = hf_config.read(config), case["ids"]
        place = parameter_shardings(decoder.spec(model), make_mesh(""))
        params, gradients = (
            hf_weights.load(where, model, place) for where in (directory, gradient_directory)
        )

        @jax.jit
        def forward_and_backward(params):
            def loss(params):
                logits_BTV = decoder.apply(params, ids, model)
                return jnp.mean(cross_entropy(logits_BTV[:, :-1], ids[:, 1:])), logits_BTV

            return jax.value_and_grad(loss, has_aux=True)(params)

        (loss, logits), ours = forward_and_backward(params)
        np.testing.assert_allclose(logits, case["logits"], rtol=1e-5, atol=2e-5)
        np.testing.assert_allclose(loss, case["loss"], rtol=2e-6)
        for (path, g), theirs in zip(
            jax.tree.leaves_with_path(ours), jax.tree.leaves(gradients), strict=True
        ):
            np.testing.assert_allclose(
                g, theirs, rtol=1e-4, atol=2e-6, err_msg=jax.tree_util.keystr(path)
            )

        (tmp_path / "b").mkdir()
        hf_weights.save(tmp_path / "b", params, model)
        again, written = (
            load_file(tmp_path / "b" / "model.safetensors"),
            load_file(directory / "model.safetensors"),
        )
        assert again.keys() == written.keys()
        jax.tree.map(np.testing.assert_array_equal, again, written)
        assert hf_config.read(hf_config.write(model, 2048)) == model


@pytest.mark.parametrize("name", ["counts/llama2_7b", "counts/llama2_70b", "counts/llama3_8b"])
def test_published_parameter_counts(golden, name):
    with golden(name) as case:
        theirs, config = case.settings(), name.replace("counts/", "lm/")
        model = experiment.load(config)[2].model
        assert core_spec.count(decoder.spec(model)) == theirs.pop("parameters")
        written = hf_config.write(model, 4096)
        assert {
            name: written.get(name, written["rope_parameters"].get(name)) for name in theirs
        } == theirs
