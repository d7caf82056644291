"""Decoder families against transformers: logits, loss, all gradients, and saved folders.

Also the parameter counts of published models.
"""

import json

import chex
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
from panorax.testing.tolerances import MODEL, NUMBER

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


def folder(case, kind, tmp_path):
    """A folder with the arrays `param/...` or `grad/...` of a case, as transformers writes it."""
    directory = tmp_path / kind
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(case.settings("config")))
    tensors = {name: np.asarray(x) for name, x in case.group(kind).items()}
    save_file(tensors, directory / "model.safetensors")
    return directory


@pytest.mark.parametrize("name", CASES)
def test_logits_loss_gradients_and_saved_folder(golden, name, tmp_path):
    with golden(name) as case:
        model, ids = hf_config.read(case.settings("config")), case["ids"]
        shardings = parameter_shardings(decoder.spec(model), make_mesh(""))
        directories = {kind: folder(case, kind, tmp_path) for kind in ("param", "grad")}
        params, gradients = (
            hf_weights.load(directory, model, shardings) for directory in directories.values()
        )

        @jax.jit
        def forward_and_backward(params):
            def loss(params):
                logits_BTV = decoder.apply(params, ids, model)
                return jnp.mean(cross_entropy(logits_BTV[:, :-1], ids[:, 1:])), logits_BTV

            return jax.value_and_grad(loss, has_aux=True)(params)

        (loss, logits), ours = forward_and_backward(params)
        np.testing.assert_allclose(logits, case["logits"], **MODEL)
        np.testing.assert_allclose(loss, case["loss"], **NUMBER)
        chex.assert_trees_all_close(ours, gradients, **MODEL)

        saved = tmp_path / "saved"
        saved.mkdir()
        hf_weights.save(saved, params, model)
        file = "model.safetensors"
        chex.assert_trees_all_equal(load_file(saved / file), load_file(directories["param"] / file))
        assert hf_config.read(hf_config.write(model, 2048)) == model


@pytest.mark.parametrize("name", ["counts/llama2_7b", "counts/llama2_70b", "counts/llama3_8b"])
def test_published_parameter_counts(golden, name):
    with golden(name) as case:
        theirs, config = case.settings(), name.replace("counts/", "lm/")
        model = experiment.load(config)[2].model
        assert core_spec.count(decoder.spec(model)) == theirs.pop("parameters")
        written = hf_config.write(model, 4096)
        written |= written["rope_parameters"]
        assert {name: written.get(name) for name in theirs} == theirs
