"""The loss of answers against transformers with labels of -100: loss and all gradients."""

import chex
import jax
import numpy as np
from safetensors.numpy import save_file

from panorax.alignment import sft
from panorax.data import packing
from panorax.interop import hf_config, hf_weights
from panorax.nets.decoders import decoder, packed
from panorax.parallel.sharding import make_mesh, parameter_shardings
from panorax.testing.tolerances import MODEL, NUMBER


def tree(tensors, model, directory):
    """A tree of the decoder from tensors with Hugging Face names."""
    directory.mkdir()
    save_file({name: np.asarray(x) for name, x in tensors.items()}, directory / "model.safetensors")
    place = parameter_shardings(decoder.spec(model), make_mesh(""))
    return hf_weights.load(directory, model, place)


def test_masked_loss_and_gradients(golden, tmp_path):
    with golden("sft/masked") as case:
        model = hf_config.read(case.settings("config"))
        ids, labels, length = (np.asarray(case[name]) for name in ("ids", "labels", "length"))
        params = tree(case.group("param"), model, tmp_path / "params")
        theirs = tree(case.group("grad"), model, tmp_path / "grad")
        examples = [
            packing.Example(row[:n], of_row[:n] >= 0) for row, of_row, n in zip(ids, labels, length)
        ]
        loss = jax.jit(jax.value_and_grad(lambda p, batch: sft.loss_fn(p, (), batch, None, net)[0]))
        net = packed.net(model)
        for width in (8, 16):  # two rows as in transformers, and both texts in one row
            ours, gradients = loss(params, packing.balanced(packing.pack(examples, width)))
            np.testing.assert_allclose(ours, case["loss"], **NUMBER)
            chex.assert_trees_all_close(gradients, theirs, **MODEL)
