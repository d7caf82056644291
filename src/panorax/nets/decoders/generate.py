"""Generation with a key/value cache by any family of decoders (`panorax.nets.decoders.decoder`): one compiled prefill, then compiled chunks of new tokens."""

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
    """Rows being written: the newest token of each, not in the cache yet, (B,); which are over, (B,); the cache; how many tokens were drawn."""

    token: jax.Array
    done: jax.Array
    cache: Cache
    drawn: jax.Array


def _draw(
    logits_BV, done_B, cache, drawn, key, ends: tuple[int, ...], sampling: Sampling
) -> Decoding:
    """The next token of each row; a row that is over repeats the first of `ends`."""
    token_B = jnp.where(
        done_B, ends[0], sample(logits_BV, jax.random.fold_in(key, drawn), sampling)
    ).astype(jnp.int32)
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
    """Read the prompts, with room for as many tokens after them, and draw the first. `prompt_BT` is padded on the right, row b holding `length_B[b]` >= 1."""
    B, T = prompt_BT.shape
    logits_BTV, cache = extend(params, prompt_BT, length_B, empty_cache(cfg, B, T + room), cfg)
    return _draw(
        logits_BTV[jnp.arange(B), length_B - 1],
        jnp.zeros(B, bool),
        cache,
        jnp.int32(0),
        key,
        ends,
        sampling,
    )


def advance(
    params, decoding: Decoding, key, *, n: int, ends: tuple[int, ...], cfg, sampling: Sampling
):
    """`n` tokens of each row (B, n), and the decoding after them. Each token costs one pass of one token through the model."""

    def body(decoding, _):
        ones_B = jnp.ones_like(decoding.token)
        logits_B1V, cache = extend(params, decoding.token[:, None], ones_B, decoding.cache, cfg)
        return _draw(
            logits_B1V[:, 0], decoding.done, cache, decoding.drawn, key, ends, sampling
        ), decoding.token

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
    """Up to `new` tokens after each prompt, in pieces (B, chunk) as they come, until every row has drawn one of `ends`; a row that has repeats it.

    Prompts of different lengths share a batch. Widths are rounded up, so that prompts of similar length share a program. A step reads all of the
    cache, so its room starts small and is doubled whenever it is full, up to what `new` tokens can take.
    """
    width, pieces = -(-max(map(len, prompts)) // 16) * 16, -(-new // chunk)
    padded = np.array([[*row, *[0] * (width - len(row))] for row in prompts], np.int32)
    lengths = np.array([len(row) for row in prompts], np.int32)
    said = {"ends": ends, "cfg": cfg, "sampling": sampling}
    whole = width + pieces * chunk
    room = min(whole, max(SMALLEST_ROOM, width + chunk))
    decoding = _prefill(params, padded, lengths, key, room=room - width, **said)
    for piece in range(pieces):
        if width + (piece + 1) * chunk > room:
            room = min(whole, 2 * room)
            decoding = decoding.replace(cache=_grown(decoding.cache, room=room))
        tokens_BN, decoding = _advance(params, decoding, key, n=chunk, **said)
        yield np.asarray(tokens_BN)[:, : new - piece * chunk]
        if np.asarray(decoding.done).all():
            return


def stream(
    params, prompts: Sequence[Sequence[int]], tokenizer, key, *, new: int, cfg, sampling: Sampling
) -> Iterator[list[str]]:
    """The texts after prompts given as ids, as they grow: every list has a text for each prompt, up to `new` tokens or an end token in the last.

    Tokens are read together with their prompt: some tokenizers drop the space before the first word of a text.
    Raises UserError where there is no prompt, an empty one, one with a token that the model does not have, or nothing to generate.
    """
    if not prompts or new < 1 or not all(map(len, prompts)):
        raise UserError(
            "give at least one prompt, none of no tokens, and at least one token to generate"
        )
    if (most := max(map(max, prompts))) >= cfg.vocab:
        raise UserError(f"the tokenizer gives a prompt the token {most}, the model has {cfg.vocab}")
    rows, before = [[] for _ in prompts], [len(tokenizer.decode(prompt)) for prompt in prompts]
    for tokens_BN in decode(
        params, prompts, key, new=new, ends=tokenizer.ends, cfg=cfg, sampling=sampling
    ):
        rows = [[*row, *map(int, more)] for row, more in zip(rows, tokens_BN)]
        written = [
            itertools.takewhile(lambda token: token not in tokenizer.ends, row) for row in rows
        ]
        yield [
            tokenizer.decode([*prompt, *row])[n:]
            for prompt, row, n in zip(prompts, written, before)
        ]


def generate(
    params, prompts: Sequence[str], tokenizer, key, *, new: int, cfg, sampling: Sampling
) -> list[str]:
    """The text after each prompt, up to `new` tokens or an end token. An empty prompt starts a document."""
    *_, texts = stream(
        params,
        [tokenizer.prompt(text) for text in prompts],
        tokenizer,
        key,
        new=new,
        cfg=cfg,
        sampling=sampling,
    )
    return texts
