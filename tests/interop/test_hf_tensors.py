"""Safetensors of a folder: slices are read in place, and damaged files are refused in one line."""

import functools
import json
import pickle

import chex
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from weights import UNTIED, Q, drawn, load, refused

from panorax.core.errors import UserError
from panorax.interop import hf_tensors


def test_wide_rows_are_read_in_pieces(whole, monkeypatch):
    monkeypatch.setattr(hf_tensors, "BUFFER_BYTES", 130)  # two rows
    tensor = load_file(whole / "model.safetensors")["lm_head.weight"]
    folder = hf_tensors.Folder(whole)
    for bounds in (((0, 24), (0, 16)), ((3, 10), (0, 16)), ((0, 24), (8, 16)), ((5, 10), (3, 4))):
        part = folder.read("lm_head.weight", bounds)
        np.testing.assert_array_equal(part, tensor[tuple(slice(*bound) for bound in bounds)])
        assert part.ctypes.data % 64 == 0


def test_a_missing_or_moved_shard_is_named(sharded):
    first, second, *_ = sorted(sharded.glob("*.safetensors"))
    content = first.read_bytes()
    first.unlink()
    assert f"the shard {first.name} is missing" in refused(sharded)
    first.write_bytes(second.read_bytes())
    assert f"is both in {first.name} and in {second.name}" in refused(sharded)
    first.write_bytes(content)
    chex.assert_trees_all_equal(load(sharded, UNTIED), drawn(UNTIED))


@pytest.mark.parametrize(
    "index, message",
    [
        ("{", "is damaged"),
        ("[" * 100_000, "is damaged"),
        ("\xff", "is damaged"),
        ("[]", "is damaged"),
        ("{}", "is damaged: KeyError: 'weight_map'"),
        ('{"weight_map": ["a.safetensors"]}', "is damaged"),
        ('{"weight_map": {"a": 3}}', "names files that are not safetensors of its own folder"),
        (
            '{"weight_map": {"a": "../a.safetensors"}}',
            "names files that are not safetensors of its own folder",
        ),
        (
            '{"weight_map": {"a": "/etc/a.safetensors"}}',
            "names files that are not safetensors of its own folder",
        ),
        (
            '{"weight_map": {"a": "pytorch_model.bin"}}',
            "names files that are not safetensors of its own folder",
        ),
        (
            '{"weight_map": {"a": "a\\nb\\u001b[31m.safetensors"}}',
            "the shard a b [31m.safetensors is missing",
        ),
        ('{"weight_map": {"a": "a\\u0000.safetensors"}}', "the shard a .safetensors is missing"),
        ('{"weight_map": {}}', "has no tensor model.embed_tokens.weight"),
    ],
)
def test_an_invalid_index_is_refused(tmp_path, index, message):
    (tmp_path / "model.safetensors.index.json").write_text(index, encoding="latin1")
    assert message in refused(tmp_path)


class Trap:
    """An object whose unpickling fails the test."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_a_pickle_is_not_read(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    message = refused(tmp_path)
    assert "has neither model.safetensors nor model.safetensors.index.json" in message
    assert "other formats are not read" in message
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Trap()))
    assert "is damaged" in refused(tmp_path)


def framed(header: dict | bytes, data: bytes) -> bytes:
    """A safetensors file."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@functools.cache
def taken_apart(path):
    """Header, data and all bytes of a file."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :], raw


def loads(directory, raw) -> bool:
    """True if the file loads, with unchanged values; False if it is refused in one line."""
    (directory / "model.safetensors").write_bytes(raw)
    try:
        params = load(directory, UNTIED)
    except UserError as error:
        assert str(error).isprintable()
        return False
    chex.assert_trees_all_equal(params, drawn(UNTIED))
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
def test_a_header_with_a_wrong_entry_is_refused(whole, scratch, data):
    header, rest, _ = taken_apart(whole / "model.safetensors")
    name = data.draw(st.sampled_from(sorted(header.keys() - {"__metadata__"})))
    key, value = data.draw(CHANGES)
    loaded = loads(scratch, framed(header | {name: header[name] | {key: value}}, rest))
    old = header[name].get(key, value)
    assert not loaded or old == value or old == [*value]


@given(st.data())
def test_overlapping_tensors_are_refused(whole, scratch, data):
    header, rest, _ = taken_apart(whole / "model.safetensors")
    a, b = data.draw(st.permutations(sorted(header.keys() - {"__metadata__"})))[:2]
    if header[a] != header[b]:
        moved = header | {a: header[b] | {"shape": header[a]["shape"]}}
        assert not loads(scratch, framed(moved, rest))


@given(st.integers(0, 2**64 - 1) | st.integers(0, 4000))
def test_a_header_of_another_length_is_refused(whole, scratch, length):
    raw = taken_apart(whole / "model.safetensors")[2]
    stored = length.to_bytes(8, "little")
    assert not loads(scratch, stored + raw[8:]) or stored == raw[:8]


@given(st.data())
def test_a_truncated_or_extended_file_is_refused(whole, scratch, data):
    raw = taken_apart(whole / "model.safetensors")[2]
    assert not loads(scratch, raw[: data.draw(st.integers(0, len(raw) - 1))])
    assert not loads(scratch, raw + data.draw(st.binary(min_size=1, max_size=9)))


@given(st.data())
def test_a_flipped_byte_of_the_header_is_refused_or_changes_no_value(whole, scratch, data):
    _, rest, raw = taken_apart(whole / "model.safetensors")
    damaged, end = bytearray(raw), len(raw) - len(rest) - 1
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, end))
        damaged[position] = data.draw(st.integers(0, 255))
    loads(scratch, bytes(damaged))


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda text: framed(text, b"")))
def test_random_bytes_are_refused(scratch, raw):
    assert not loads(scratch, raw)


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
def test_a_header_without_tensors_is_refused(scratch, text):
    assert not loads(scratch, framed(text, b""))


def test_a_file_that_shrinks_while_it_is_read_is_refused(whole, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes((whole / "model.safetensors").read_bytes())
    shapes = {name: x.shape for name, x in load_file(path).items()}
    folder = hf_tensors.Folder(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="ends within"):
        for name, shape in shapes.items():
            folder.read(name, tuple((0, n) for n in shape))
    path.unlink()
    with pytest.raises(UserError, match="cannot be read at"):
        folder.read(Q, ((0, 16), (0, 16)))
