import json
import struct
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.interop import hf_config, hf_weights
from panorax.lm import gemma, llama, qwen
from panorax.nets import decoder
from panorax.parallel.sharding import make_mesh, parameter_shardings

SIZES = {"vocab": 16, "d_model": 8, "n_layers": 2, "n_heads": 2, "n_kv_heads": 2, "d_ff": 12}
LLAMA = llama.Model(**SIZES, tied=False)
MODELS = {
    "llama": LLAMA,
    "tied": llama.Model(**SIZES, tied=True, head_dim=6),
    "qwen2": qwen.Model(**SIZES, bias=True, head_norm=False),
    "qwen3": qwen.Model(**SIZES, windows=(0, 3)),
    "gemma": gemma.Model(**SIZES, post_norms=False, attention_cap=None, logit_cap=None),
    "gemma2": gemma.Model(**SIZES, windows=(3, 0), query_scale=5.0),
}
ONE = make_mesh("")


def place(model, mesh=ONE):
    return parameter_shardings(decoder.spec(model), mesh)


def drawn(model, seed=0):
    random = np.random.default_rng(seed)
    return core_spec.map_spec(lambda p: jnp.asarray(random.normal(size=p.shape), jnp.float32), decoder.spec(model))


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of LLAMA in one file, and its parameters."""
    path, params = tmp_path_factory.mktemp("folder"), drawn(LLAMA)
    hf_weights.save(path, params, LLAMA)
    return path, params


def changed(folder, tmp_path, **tensors):
    """A copy of the folder's tensors with some replaced (None: left out)."""
    held = load_file(folder[0] / "model.safetensors") | tensors
    save_file({name: x for name, x in held.items() if x is not None}, tmp_path / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shard_bytes", [10**9, 600])
def test_saved_and_loaded_is_the_same_also_in_shards(name, shard_bytes, tmp_path):
    model, params = MODELS[name], drawn(MODELS[name])
    hf_weights.save(tmp_path, params, model, shard_bytes=shard_bytes)
    files = sorted(p.name for p in tmp_path.glob("*.safetensors"))
    assert (files == ["model.safetensors"]) == (shard_bytes > 600) and not list(tmp_path.glob("*.part"))
    same(hf_weights.load(tmp_path, model, place(model)), params)
    assert hf_config.read(hf_config.write(model, 128)) == model
    if shard_bytes == 600:
        index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
        assert index["metadata"]["total_size"] == sum(x.nbytes for x in jax.tree.leaves(params)) and set(index["weight_map"].values()) == set(files)


def test_half_precision_stays_and_is_widened_when_asked(tmp_path):
    params = drawn(LLAMA)
    hf_weights.save(tmp_path, params, LLAMA, dtype=jnp.bfloat16)
    halved = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
    same(hf_weights.load(tmp_path, LLAMA, place(LLAMA)), halved)
    wide = hf_weights.load(tmp_path, LLAMA, place(LLAMA), jnp.float32)
    same(wide, jax.tree.map(lambda x: x.astype(jnp.float32), halved))


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2"])
def test_on_many_devices_each_reads_its_part(name, tmp_path, monkeypatch):
    model, params, read = MODELS[name], drawn(MODELS[name]), []
    hf_weights.save(tmp_path, params, model)
    original = hf_weights.read
    monkeypatch.setattr(hf_weights, "read", lambda tensor, index: read.append(x := original(tensor, index)) or x)
    shardings = place(model, make_mesh("fsdp=2,tensor=2"))
    loaded = hf_weights.load(tmp_path, model, shardings)
    same(loaded, params)
    jax.tree.map(lambda x, sharding: np.testing.assert_equal(x.sharding.spec, sharding.spec), loaded, shardings)
    held = sum(shard.data.nbytes for x in jax.tree.leaves(loaded) for shard in x.addressable_shards)
    assert sum(x.nbytes for x in read) <= held
    assert max(x.nbytes for x in read) < max(x.nbytes for x in jax.tree.leaves(params))


@pytest.mark.parametrize(
    "tensors, message",
    [
        ({"model.norm.weight": None}, "has no tensor model.norm.weight"),
        ({"model.norm.weight": np.zeros(9, np.float32)}, r"model.norm.weight has the shape \(9,\), config.json makes it \(8,\)"),
        ({"model.norm.weight": np.zeros(8, np.int32)}, "model.norm.weight holds I32, not floating point numbers"),
        ({"model.layers.2.mlp.up_proj.weight": np.zeros(3, np.float32)}, "no place for: model.layers.2.mlp.up_proj.weight"),
    ],
)
def test_tensors_that_do_not_fit_are_named(folder, tmp_path, tensors, message):
    with pytest.raises(UserError, match=message):
        hf_weights.load(changed(folder, tmp_path, **tensors), LLAMA, place(LLAMA))


def test_nothing_is_read_before_everything_is_checked(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(hf_weights, "read", lambda *args: pytest.fail("read"))
    with pytest.raises(UserError):
        hf_weights.load(changed(folder, tmp_path, **{"lm_head.weight": np.zeros((3, 3), np.float32)}), LLAMA, place(LLAMA))


def test_rotary_frequencies_and_a_tied_head_may_lie_beside(folder, tmp_path):
    tied = llama.Model(**SIZES)
    more = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2, np.float32)}
    loaded = hf_weights.load(changed(folder, tmp_path, **more), tied, place(tied))
    assert "head" not in loaded


def test_a_shard_that_is_missing_an_index_that_is_garbled_or_leads_away(tmp_path):
    hf_weights.save(tmp_path, drawn(LLAMA), LLAMA, shard_bytes=600)
    index = tmp_path / "model.safetensors.index.json"
    whole = index.read_text()
    for text, message in (
        (whole.replace("model-00001", "../model-00001", 1), "names files that are no safetensors of its own folder"),
        (whole.replace(".safetensors", ".bin"), "names files that are no safetensors"),
        ("{", "is damaged"),
        ('{"weight_map": [1]}', "is damaged"),
        ('{"weight_map": {"a": 3}}', "names files"),
    ):
        index.write_text(text)
        with pytest.raises(UserError, match=message):
            hf_weights.load(tmp_path, LLAMA, place(LLAMA))
    index.write_text(whole)
    (tmp_path / "model-00001-of-00010.safetensors").unlink(missing_ok=True)
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(UserError, match="the shard model-0000.* is missing"):
        hf_weights.load(tmp_path, LLAMA, place(LLAMA))


def test_pickles_are_not_touched(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(UserError, match="has neither model.safetensors nor"):
        hf_weights.load(tmp_path, LLAMA, place(LLAMA))


def header_of(data: bytes) -> dict:
    (n,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + n])


def with_header(data: bytes, header: dict) -> bytes:
    (n,) = struct.unpack("<Q", data[:8])
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + n :]


LOAD = r"""
import re, sys, pathlib
import jax
from panorax.interop import hf_weights
from panorax.lm import llama
from panorax.nets import decoder
from panorax.parallel.sharding import make_mesh, parameter_shardings

cfg = eval(sys.argv[2], {"Model": llama.Model, "Rope": llama.Rope})
shardings = parameter_shardings(decoder.spec(cfg), make_mesh(""))
held = lambda name: int(re.search(name + r":\s+(\d+)", pathlib.Path("/proc/self/status").read_text()).group(1)) * 1024
before = held("VmRSS")
params = hf_weights.load(pathlib.Path(sys.argv[1]), cfg, shardings)
print(before, held("VmHWM"), held("VmRSS"))
"""


def test_the_host_holds_one_tensor_at_a_time(tmp_path):
    model = llama.Model(vocab=8192, d_model=768, n_layers=8, n_heads=6, n_kv_heads=6, d_ff=2048, tied=False)
    params = core_spec.map_spec(lambda p: jnp.ones(p.shape), decoder.spec(model))
    hf_weights.save(tmp_path, params, model)
    run = subprocess.run([sys.executable, "-c", LOAD, tmp_path, repr(model)], capture_output=True, text=True, check=True)
    before, peak, after = map(int, run.stdout.split())
    parameters = sum(x.nbytes for x in jax.tree.leaves(params))
    assert after - before > parameters > 250e6
    assert peak - after <= 1.2 * 8192 * 768 * 4 + 8e6  # the largest tensor, and what the allocator keeps


@settings(max_examples=150)
@given(st.data())
def test_hostile_files_are_one_line_or_what_they_say(folder, tmp_path_factory, data):
    good = (folder[0] / "model.safetensors").read_bytes()
    kind = data.draw(st.sampled_from(["cut", "length", "flip", "header"]))
    if kind == "cut":
        bad = good[: data.draw(st.integers(0, len(good) - 1))]
    elif kind == "length":
        bad = struct.pack("<Q", data.draw(st.sampled_from([0, 1, 10**8 + 1, 2**63, 2**64 - 1, len(good)]))) + good[8:]
    elif kind == "flip":
        at = data.draw(st.integers(0, 2000))
        bad = good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    else:
        header = header_of(good)
        name = data.draw(st.sampled_from(sorted(set(header) - {"__metadata__"})))
        field = data.draw(st.sampled_from(["dtype", "shape", "data_offsets", "whole"]))
        value = data.draw(st.sampled_from(["F8_E5M2", "F64", "X", -1, 2**64, [0, 0], [0, 2**63], [-8, 24], [8, 0], [0, 4], [1e300, 3], [], None, {}]))
        if field == "whole":
            header[name] = value
        else:
            header[name] = header[name] | {field: value}
        bad = with_header(good, header)
    path = tmp_path_factory.mktemp("hostile")
    (path / "model.safetensors").write_bytes(bad)
    try:
        loaded = hf_weights.load(path, LLAMA, place(LLAMA))
    except UserError as error:
        assert "\n" not in str(error)
    else:  # a flipped bit of a number, or of a name that is not looked at
        assert kind in ("flip", "header") and jax.tree.map(jnp.shape, loaded) == jax.tree.map(jnp.shape, folder[1])
