"""Generation with a key/value cache, by any family of `panorax.nets.decoders.decoder`.

One compiled program reads the prompts; a second program generates a chunk of tokens.
"""

import itertools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from panorax.core import struct
from panorax.core.errors import UserError
from panorax.nets.decoders.decoder import Cache, empty_cache, extend, grown
from panorax.ops.sampling import Sampling, sample

SMALLEST_ROOM = 128


@struct.dataclass
class Decoding:
    """State of the generation of B rows.

    token: newest token of each row, not yet in the cache, (B,).
    done: True for rows that are complete, (B,).
    cache: keys and values of all tokens before the newest.
    drawn: number of tokens sampled so far in each row.
    """

    token: jax.Array
    done: jax.Array
    cache: Cache
    drawn: jax.Array


def _draw(
    logits_BV, done_B, cache, drawn, key, ends: tuple[int, ...], sampling: Sampling
) -> Decoding:
    """Samples the next token of each row; a row that is done repeats the first of `ends`."""
    sampled_B = sample(logits_BV, jax.random.fold_in(key, drawn), sampling)
    token_B = jnp.where(done_B, ends[0], sampled_B).astype(jnp.int32)
    return Decoding(token_B, done_B | jnp.isin(token_B, jnp.array(ends)), cache, drawn + 1)


def prefill(
    params,
    prompt_BT: Int[Array, "B T"],
    length_B: Int[Array, " B"],
    key,
    *,
    room: int,
    ends: tuple[int, ...],
    cfg,
    sampling: Sampling,
):
    """Runs the prompts and samples the first token after each; returns the `Decoding`.

    prompt_BT: tokens, padded on the right.  length_B: prompt length of each row, at least 1.
    room: tokens that the cache holds beyond T.
    """
    B, T = prompt_BT.shape
    logits_BTV, cache = extend(params, prompt_BT, length_B, empty_cache(cfg, B, T + room), cfg)
    last_BV, done_B = logits_BTV[jnp.arange(B), length_B - 1], jnp.zeros(B, bool)
    return _draw(last_BV, done_B, cache, jnp.int32(0), key, ends, sampling)


def advance(
    params, decoding: Decoding, key, *, n: int, ends: tuple[int, ...], cfg, sampling: Sampling
):
    """Returns the next `n` tokens of each row, (B, n), and the decoding after them.

    The first of these tokens is `decoding.token`. Each token costs one forward pass of one token.
    """

    def body(decoding, _):
        ones_B = jnp.ones_like(decoding.token)
        logits_B1V, cache = extend(params, decoding.token[:, None], ones_B, decoding.cache, cfg)
        logits_BV, done_B, drawn = logits_B1V[:, 0], decoding.done, decoding.drawn
        return _draw(logits_BV, done_B, cache, drawn, key, ends, sampling), decoding.token

    decoding, tokens_NB = jax.lax.scan(body, decoding, length=n)
    return tokens_NB.T, decoding


_prefill = jax.jit(prefill, static_argnames=("room", "ends", "cfg", "sampling"))
_grown = jax.jit(grown, static_argnames="room")
_advance = jax.jit(
    advance, static_argnames=("n", "ends", "cfg", "sampling"), donate_argnames="decoding"
)


def decode(
    params,
    prompts: Sequence[Sequence[int]],
    key,
    *,
    new: int,
    ends: tuple[int, ...],
    cfg,
    sampling: Sampling,
    chunk: int = 16,
) -> Iterator[np.ndarray]:
    """Yields up to `new` tokens after each prompt as they are generated, in arrays (B, <= chunk).

    Generation ends early once each row has sampled a token of `ends`; after that token, a row
    repeats the first of `ends`. Prompts of different lengths share a batch. Widths are rounded up,
    so that prompts of similar length share a program. Each step reads the whole cache, so its room
    starts small and doubles when it is full.
    """
    width, pieces = -(-max(map(len, prompts)) // 16) * 16, -(-new // chunk)
    padded = np.array([[*row, *[0] * (width - len(row))] for row in prompts], np.int32)
    lengths = np.array([len(row) for row in prompts], np.int32)
    static = {"ends": ends, "cfg": cfg, "sampling": sampling}
    full_room = width + pieces * chunk
    room = min(full_room, max(SMALLEST_ROOM, width + chunk))
    decoding = _prefill(params, padded, lengths, key, room=room - width, **static)
    for piece in range(pieces):
        if width + (piece + 1) * chunk > room:
            room = min(full_room, 2 * room)
            decoding = decoding.replace(cache=_grown(decoding.cache, room=room))
        tokens_BN, decoding = _advance(params, decoding, key, n=chunk, **static)
        yield np.asarray(tokens_BN)[:, : new - piece * chunk]
        if np.asarray(decoding.done).all():
            return


def stream(
    params, prompts: Sequence[Sequence[int]], tokenizer, key, *, new: int, cfg, sampling: Sampling
) -> Iterator[list[str]]:
    """Yields the texts after `prompts` (token ids) as they grow, one list per chunk of tokens.

    A list has one text per prompt; the last list ends after `new` tokens or at an end token. Tokens
    are decoded together with their prompt, because some tokenizers drop the space before the first
    word of a text. Raises UserError if `prompts` or one of them is empty, if a prompt has a token
    outside the model's vocabulary, or if `new` is below 1.
    """
    if not prompts or new < 1 or not all(map(len, prompts)):
        raise UserError(
            "generation needs at least one prompt, no empty prompt, and new tokens >= 1"
        )
    if (largest := max(map(max, prompts))) >= cfg.vocab:
        raise UserError(f"a prompt has token {largest}, but the model's vocabulary is {cfg.vocab}")
    ends = tokenizer.ends
    rows, starts = [[] for _ in prompts], [len(tokenizer.decode(prompt)) for prompt in prompts]
    for piece_BN in decode(params, prompts, key, new=new, ends=ends, cfg=cfg, sampling=sampling):
        rows = [[*row, *map(int, piece)] for row, piece in zip(rows, piece_BN)]
        texts = []
        for prompt, row, start in zip(prompts, rows, starts):
            kept = itertools.takewhile(lambda token: token not in ends, row)
            texts.append(tokenizer.decode([*prompt, *kept])[start:])
        yield texts


def generate(
    params, prompts: Sequence[str], tokenizer, key, *, new: int, cfg, sampling: Sampling
) -> list[str]:
    """The text after each prompt, up to `new` tokens or an end token.

    An empty prompt starts a document. Raises UserError as `stream` does.
    """
    ids = [tokenizer.prompt(text) for text in prompts]
    *_, texts = stream(params, ids, tokenizer, key, new=new, cfg=cfg, sampling=sampling)
    return texts
