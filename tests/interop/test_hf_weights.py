"""Weights from safetensors: what is damaged is one line and nothing is loaded; devices read their own part; one tensor is held at a time."""

import dataclasses
import functools
import json
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.interop import hf_config, hf_weights
from panorax.nets.decoders import decoder, gemma, llama, qwen
from panorax.parallel.sharding import make_mesh, parameter_shardings

SIZES = dict(vocab=24, d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=12)
TIED, UNTIED = llama.Model(**SIZES), llama.Model(**SIZES, tied=False)
Q = "model.layers.1.self_attn.q_proj.weight"


def drawn(cfg, seed=0, dtype=jnp.float32):
    """Random parameters, norms and biases included."""
    declared = core_spec.abstract(decoder.spec(cfg))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: np.asarray(rng.normal(size=x.shape), dtype), declared)


def load(directory, cfg, mesh="", dtype=None):
    return hf_weights.load(
        directory, cfg, parameter_shardings(decoder.spec(cfg), make_mesh(mesh)), dtype
    )


def same(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y)), a, b)


def refused(directory, cfg=UNTIED) -> str:
    """The one line with which a folder is refused, before anything of it is on a device."""
    held = len(jax.live_arrays())
    with pytest.raises(UserError) as said:
        load(directory, cfg)
    assert str(said.value).isprintable() and len(jax.live_arrays()) == held
    return str(said.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder of one file, of the untied model."""
    directory = tmp_path_factory.mktemp("whole")
    hf_weights.save(directory, drawn(UNTIED), UNTIED)
    return directory


@pytest.fixture
def sharded(tmp_path):
    """A folder of several shards, of the untied model."""
    hf_weights.save(tmp_path, drawn(UNTIED), UNTIED, shard_bytes=2500)
    return tmp_path


FAMILIES = {
    "llama": TIED,
    "llama untied": UNTIED,
    "mistral": dataclasses.replace(UNTIED, windows=(4,), head_dim=8),
    "qwen2": qwen.Model(**SIZES, bias=True, head_norm=False),
    "qwen3": qwen.Model(**SIZES, head_dim=6, tied=False),
    "gemma": gemma.Model(**SIZES, head_dim=8, post_norms=False, attention_cap=None, logit_cap=None),
    "gemma2": gemma.Model(**SIZES, head_dim=8, windows=(4, 0)),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_comes_back(name, tmp_path):
    cfg = FAMILIES[name]
    params = drawn(cfg)
    hf_weights.save(tmp_path, params, cfg, shard_bytes=4000)
    same(load(tmp_path, cfg), params)
    stored = sum(
        x.size for file in tmp_path.glob("*.safetensors") for x in load_file(file).values()
    )
    assert stored == core_spec.count(decoder.spec(cfg))


@given(
    st.sampled_from(sorted(FAMILIES)),
    st.integers(1, 4),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([None, 2, 10]),
    st.integers(1, 10**5),
)
def test_random_sizes_come_back(tmp_path_factory, name, layers, kv_heads, head_dim, shard_bytes):
    cfg = dataclasses.replace(
        FAMILIES[name], n_layers=layers, n_kv_heads=kv_heads, head_dim=head_dim
    )
    directory, params = tmp_path_factory.mktemp("sizes"), drawn(cfg)
    hf_weights.save(directory, params, cfg, shard_bytes=shard_bytes)
    again = hf_config.read(json.loads(json.dumps(hf_config.write(cfg, 32))))
    folder, stored = hf_weights.Folder(directory), {}
    for file in directory.glob("*.safetensors"):
        stored |= load_file(file)
    for ours, names in hf_weights.table(again).items():
        for name, axes in names:
            whole = tuple((0, n) for n in stored[name].shape)
            np.testing.assert_array_equal(folder.read(name, whole), stored[name])
    assert stored.keys() == {
        name for names in hf_weights.table(again).values() for name, _ in names
    }


def test_shards_hold_at_most_what_they_may(sharded):
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    files = sorted(sharded.glob("*.safetensors"))
    assert len(files) > 3 and set(index["weight_map"].values()) == {file.name for file in files}
    stored = [load_file(file) for file in files]
    assert all(len(part) == 1 or sum(x.nbytes for x in part.values()) <= 2500 for part in stored)
    assert index["metadata"]["total_size"] == sum(
        x.nbytes for part in stored for x in part.values()
    )
    assert all((file.stat().st_mode & 0o777) == 0o644 for file in files)
    same(load(sharded, UNTIED), drawn(UNTIED))


@pytest.mark.parametrize(
    "mesh", ["fsdp=2,tensor=2", "data=2,fsdp=2", "data=2,fsdp=2,tensor=2", "tensor=4", "data=8"]
)
def test_every_device_reads_its_part_and_no_part_is_read_twice(sharded, monkeypatch, mesh):
    read, seen = hf_weights.Folder.read, []
    monkeypatch.setattr(
        hf_weights.Folder,
        "read",
        lambda folder, name, bounds: seen.append((name, bounds)) or read(folder, name, bounds),
    )
    params = load(sharded, UNTIED, mesh)
    same(params, drawn(UNTIED))
    assert (
        params["layers"]["q"].sharding
        == parameter_shardings(decoder.spec(UNTIED), make_mesh(mesh))["layers"]["q"]
    )
    size = lambda bounds: np.prod([stop - start for start, stop in bounds])
    assert len(seen) == len(set(seen)) and sum(
        size(bounds) for _, bounds in seen
    ) == core_spec.count(decoder.spec(UNTIED))
    split = (
        4
        if mesh in ("fsdp=2,tensor=2", "data=2,fsdp=2,tensor=2", "tensor=4")
        else 2
        if "fsdp" in mesh
        else 1
    )
    assert [size(bounds) for name, bounds in seen if name == Q] == [16 * 16 // split] * split


def test_wide_rows_are_read_in_turns(whole, monkeypatch):
    monkeypatch.setattr(hf_weights, "TURN_BYTES", 130)  # two rows
    tensor = load_file(whole / "model.safetensors")["lm_head.weight"]
    folder = hf_weights.Folder(whole)
    for bounds in (((0, 24), (0, 16)), ((3, 10), (0, 16)), ((0, 24), (8, 16)), ((5, 10), (3, 4))):
        part = folder.read("lm_head.weight", bounds)
        np.testing.assert_array_equal(part, tensor[tuple(slice(*bound) for bound in bounds)])
        assert part.ctypes.data % 64 == 0


def test_dtypes_are_kept_unless_asked_for_another(tmp_path):
    half = drawn(TIED, dtype=jnp.bfloat16)
    hf_weights.save(tmp_path, half, TIED)
    kept, asked = load(tmp_path, TIED), load(tmp_path, TIED, dtype=jnp.float32)
    assert {x.dtype for x in jax.tree.leaves(kept)} == {jnp.dtype(jnp.bfloat16)} and {
        x.dtype for x in jax.tree.leaves(asked)
    } == {jnp.dtype("float32")}
    same(kept, half)
    same(asked, jax.tree.map(lambda x: x.astype(np.float32), half))
    stored = load_file(tmp_path / "model.safetensors")
    assert all(x.dtype == jnp.bfloat16 for x in stored.values())
    for dtype, expected in ((np.float16, np.float16), (np.float64, np.float32)):
        save_file(
            {name: x.astype(dtype) for name, x in stored.items()}, tmp_path / "model.safetensors"
        )
        assert {x.dtype for x in jax.tree.leaves(load(tmp_path, TIED))} == {np.dtype(expected)}
    save_file(stored | {Q: stored[Q].astype(np.float32)}, tmp_path / "model.safetensors")
    assert (
        load(tmp_path, TIED)["layers"]["q"].dtype == np.float32
    )  # nothing is rounded because another layer is


def test_tied_models_with_and_without_a_head(whole, tmp_path):
    stored = load_file(whole / "model.safetensors")
    save_file(
        stored | {"model.layers.0.self_attn.rotary_emb.inv_freq": np.zeros(2, np.float32)},
        tmp_path / "model.safetensors",
    )
    same(load(tmp_path, TIED), {name: x for name, x in drawn(UNTIED).items() if name != "head"})
    stored.pop("lm_head.weight")
    save_file(stored, tmp_path / "model.safetensors")
    assert "head" not in load(tmp_path, TIED)
    assert "has no tensor lm_head.weight" in refused(tmp_path)


def rewrite(directory, **changed):
    stored = (
        load_file(directory / "model.safetensors")
        if (directory / "model.safetensors").exists()
        else {}
    )
    save_file(
        {name: x for name, x in (stored | changed).items() if x is not None},
        directory / "model.safetensors",
    )


@pytest.mark.parametrize(
    "changed, message",
    [
        ({Q: None}, f"has no tensor {Q}"),
        (
            {Q: np.zeros((16, 8), np.float32)},
            f"{Q} has the shape (16, 8), config.json makes it (16, 16)",
        ),
        ({Q: np.zeros((16, 4, 4), np.float32)}, f"{Q} has the shape (16, 4, 4)"),
        ({Q: np.array(1, np.float32)}, f"{Q} has the shape ()"),
        ({Q: np.zeros((16, 16), np.int32)}, f"{Q} holds I32, not floating point numbers"),
        ({Q: np.zeros((16, 16), np.int8)}, f"{Q} holds I8"),
        ({Q: np.zeros((16, 16), jnp.float8_e4m3fn)}, f"{Q} holds F8_E4M3"),
        (
            {"model.layers.2.mlp.up_proj.weight": np.zeros(1, np.float32)},
            "no place for: model.layers.2.mlp.up_proj.weight",
        ),
        (
            {"model.layers.0.self_attn.q_proj.bias": np.zeros(16, np.float32)},
            "no place for: model.layers.0.self_attn.q_proj.bias",
        ),
        (
            {"a\nb": np.zeros(1, np.float32), "c": np.zeros(1), "d": np.zeros(1), "e": np.zeros(1)},
            "no place for: a b, c, d, ...",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(whole, tmp_path, changed, message):
    (tmp_path / "model.safetensors").write_bytes((whole / "model.safetensors").read_bytes())
    rewrite(tmp_path, **changed)
    assert message in refused(tmp_path)


def test_a_missing_or_moved_shard_is_named(sharded):
    first, second, *_ = sorted(sharded.glob("*.safetensors"))
    kept = first.read_bytes()
    first.unlink()
    assert f"the shard {first.name} is missing" in refused(sharded)
    first.write_bytes(second.read_bytes())
    assert f"is both in {first.name} and in {second.name}" in refused(sharded)
    first.write_bytes(kept)
    same(load(sharded, UNTIED), drawn(UNTIED))


@pytest.mark.parametrize(
    "index, message",
    [
        ("{", "is damaged"),
        ("[" * 100_000, "is damaged"),
        ("\xff", "is damaged"),
        ("[]", "is damaged"),
        ("{}", "is damaged: KeyError: 'weight_map'"),
        ('{"weight_map": ["a.safetensors"]}', "is damaged"),
        ('{"weight_map": {"a": 3}}', "names files that are no safetensors of its own folder"),
        (
            '{"weight_map": {"a": "../a.safetensors"}}',
            "names files that are no safetensors of its own folder",
        ),
        (
            '{"weight_map": {"a": "/etc/a.safetensors"}}',
            "names files that are no safetensors of its own folder",
        ),
        (
            '{"weight_map": {"a": "pytorch_model.bin"}}',
            "names files that are no safetensors of its own folder",
        ),
        (
            '{"weight_map": {"a": "a\\nb\\u001b[31m.safetensors"}}',
            "the shard a b [31m.safetensors is missing",
        ),
        ('{"weight_map": {"a": "a\\u0000.safetensors"}}', "the shard a .safetensors is missing"),
        ('{"weight_map": {}}', "has no tensor model.embed_tokens.weight"),
    ],
)
def test_an_index_that_is_none_is_said(tmp_path, index, message):
    (tmp_path / "model.safetensors.index.json").write_text(index, encoding="latin1")
    assert message in refused(tmp_path)


class Trap:
    """What unpickling would run."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_a_pickle_is_not_read(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    assert (
        "has neither model.safetensors nor model.safetensors.index.json; other formats are not read"
        in refused(tmp_path)
    )
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Trap()))
    assert "is damaged" in refused(tmp_path)


def framed(header: dict | bytes, data: bytes, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


@functools.cache
def taken_apart(path):
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :], raw


def loads_or_is_refused(directory, raw):
    """A damaged file is refused in one line, or it says the same as before."""
    (directory / "model.safetensors").write_bytes(raw)
    try:
        params = load(directory, UNTIED)
    except UserError as error:
        assert str(error).isprintable()
        return False
    same(params, drawn(UNTIED))
    return True


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


OFFSETS = st.integers(-(2**64), 2**64) | st.integers(-8, 6000)
CHANGES = st.one_of(
    st.tuples(
        st.just("data_offsets"),
        st.tuples(OFFSETS, OFFSETS) | st.lists(OFFSETS, max_size=3) | st.none(),
    ),
    st.tuples(
        st.just("dtype"),
        st.sampled_from(
            ["F64", "F16", "BF16", "I32", "U32", "F8_E4M3", "F4", "C64", "X", "", None, 3]
        ),
    ),
    st.tuples(
        st.just("shape"),
        st.lists(st.integers(-2, 20) | st.sampled_from([2**31, 2**63, 2**64, 0.5]), max_size=4)
        | st.none(),
    ),
    st.tuples(st.text(max_size=5), st.integers(0, 3)),
)


@given(st.data())
def test_a_header_that_lies_is_refused(whole, scratch, data):
    header, rest, raw = taken_apart(whole / "model.safetensors")
    name = data.draw(st.sampled_from(sorted(header.keys() - {"__metadata__"})))
    key, value = data.draw(CHANGES)
    changed = header | {name: header[name] | {key: value}}
    loaded = loads_or_is_refused(scratch, framed(changed, rest))
    assert (
        not loaded
        or key not in header[name]
        or value == header[name][key]
        or [*value] == header[name][key]
    )


@given(st.data())
def test_tensors_that_overlap_or_leave_holes_are_refused(whole, scratch, data):
    header, rest, _ = taken_apart(whole / "model.safetensors")
    one, other = data.draw(st.permutations(sorted(header.keys() - {"__metadata__"})))[:2]
    if header[one] != header[other]:
        assert not loads_or_is_refused(
            scratch, framed(header | {one: header[other] | {"shape": header[one]["shape"]}}, rest)
        )


@given(st.integers(0, 2**64 - 1) | st.integers(0, 4000))
def test_a_header_of_another_length_is_refused(whole, scratch, length):
    header, rest, raw = taken_apart(whole / "model.safetensors")
    assert (
        not loads_or_is_refused(scratch, length.to_bytes(8, "little") + raw[8:])
        or length.to_bytes(8, "little") == raw[:8]
    )


@given(st.data())
def test_a_file_cut_short_or_with_more_after_it_is_refused(whole, scratch, data):
    raw = taken_apart(whole / "model.safetensors")[2]
    assert not loads_or_is_refused(scratch, raw[: data.draw(st.integers(0, len(raw) - 1))])
    assert not loads_or_is_refused(scratch, raw + data.draw(st.binary(min_size=1, max_size=9)))


@given(st.data())
def test_a_flipped_byte_of_the_header_is_refused_or_changes_nothing(whole, scratch, data):
    header, rest, raw = taken_apart(whole / "model.safetensors")
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(raw) - len(rest) - 1))] = data.draw(
            st.integers(0, 255)
        )
    loads_or_is_refused(scratch, bytes(damaged))


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda text: framed(text, b"")))
def test_noise_is_refused(scratch, raw):
    assert not loads_or_is_refused(scratch, raw)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b"{" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b"{}",
        b"null",
        b'{"__metadata__": {"a": 1}}',
    ],
)
def test_a_header_that_is_no_table_of_tensors_is_refused(scratch, text):
    assert not loads_or_is_refused(scratch, framed(text, b""))


def test_a_file_that_shrinks_while_it_is_read_is_said(whole, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes((whole / "model.safetensors").read_bytes())
    folder = hf_weights.Folder(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="ends within"):
        for names in hf_weights.table(UNTIED).values():
            for name, _ in names:
                folder.read(name, tuple((0, n) for n in folder._of[name].shape))
    path.unlink()
    with pytest.raises(UserError, match="cannot be read at"):
        folder.read(Q, ((0, 16), (0, 16)))


LOADING = """
import re, sys
from pathlib import Path
import jax
from panorax.interop import hf_weights
from panorax.nets.decoders import llama
from panorax.nets.decoders import decoder
from panorax.parallel.sharding import make_mesh, parameter_shardings

cfg = llama.Model(vocab=65536, d_model=768, n_layers=4, n_heads=12, n_kv_heads=4, d_ff=2048, tied=sys.argv[3] == "tied")
shardings = parameter_shardings(decoder.spec(cfg), make_mesh(sys.argv[2]))
kilobytes = lambda name: int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
params = jax.block_until_ready(hf_weights.load(Path(sys.argv[1]), cfg, shardings))
print((kilobytes("VmHWM") - kilobytes("VmRSS")) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "dtype, mesh, tied",
    [
        ("float32", "", "tied"),
        ("bfloat16", "", "untied"),
        ("bfloat16", "data=2,fsdp=2,tensor=2", "untied"),
    ],
)
def test_the_host_holds_what_stays_and_one_tensor(tmp_path, dtype, mesh, tied):
    cfg = llama.Model(
        vocab=65536,
        d_model=768,
        n_layers=4,
        n_heads=12,
        n_kv_heads=4,
        d_ff=2048,
        tied=tied == "tied",
    )
    ones = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, dtype), core_spec.abstract(decoder.spec(cfg))
    )
    hf_weights.save(
        tmp_path,
        jax.tree.map(lambda x: np.ones(x.shape, x.dtype), ones),
        cfg,
        shard_bytes=150_000_000,
    )
    largest = 65536 * 768 * jnp.dtype(dtype).itemsize
    done = subprocess.run(
        [sys.executable, "-c", LOADING, str(tmp_path), mesh, tied],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) <= 1.2 * largest + 8_000_000  # what the allocator keeps
