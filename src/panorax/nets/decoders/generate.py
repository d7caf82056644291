"""Generation with a key/value cache, by any family of `panorax.nets.decoders.decoder`.

One compiled program reads the prompts; a second program generates a chunk of tokens.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from panorax.core import struct
from panorax.core.errors import UserError
from panorax.nets.decoders.decoder import Cache, empty_cache, extend, grown
from panorax.ops.sampling import Sampling, penalised, sample

SMALLEST_ROOM = 128


@struct.dataclass
class Decoding:
    """State of the generation of B rows.

    token: newest token of each row, not yet in the cache, (B,).
    done: True for rows that are complete, (B,).
    cache: keys and values of all tokens before the newest.
    tokens: all tokens before the newest, (B, S).
    drawn: number of tokens sampled so far in each row.
    finite: False for rows whose logits were not finite before they were complete, (B,).
    """

    token: jax.Array
    done: jax.Array
    cache: Cache
    tokens: jax.Array
    drawn: jax.Array
    finite: jax.Array


def _drawn(logits_BV, before: Decoding, key, ends: tuple[int, ...], sampling: Sampling) -> Decoding:
    """Samples the next token of each row; a row that is done repeats the first of `ends`.

    before: the decoding with the cache after the newest token, whose `token` is replaced.
    """
    finite_B = before.finite & (before.done | jnp.all(jnp.isfinite(logits_BV), -1))
    logits_BV = penalised(logits_BV, before.tokens, before.cache.length, sampling)
    sampled_B = sample(logits_BV, jax.random.fold_in(key, before.drawn), sampling)
    token_B = jnp.where(before.done, ends[0], sampled_B).astype(jnp.int32)
    done_B = before.done | jnp.isin(token_B, jnp.array(ends))
    return before.replace(token=token_B, done=done_B, drawn=before.drawn + 1, finite=finite_B)


def prefill(
    params,
    prompt_BT: Int[Array, "B T"],
    length_B: Int[Array, " B"],
    done_B: Bool[Array, " B"],
    drawn,
    key,
    *,
    room: int,
    ends: tuple[int, ...],
    cfg,
    sampling: Sampling,
):
    """Runs the prompts and samples the first token after each; returns the `Decoding`.

    prompt_BT: tokens, padded on the right.  length_B: prompt length of each row, at least 1.
    done_B: True for rows that are complete.  drawn: number of tokens sampled so far.
    room: tokens that the cache holds beyond T.
    """
    B, T = prompt_BT.shape
    logits_BTV, cache = extend(params, prompt_BT, length_B, empty_cache(cfg, B, T + room), cfg)
    tokens_BS = jnp.pad(prompt_BT, ((0, 0), (0, room)))
    before = Decoding(prompt_BT[:, 0], done_B, cache, tokens_BS, drawn, jnp.ones(B, bool))
    return _drawn(logits_BTV[jnp.arange(B), length_B - 1], before, key, ends, sampling)


def advance(
    params, decoding: Decoding, key, *, n: int, ends: tuple[int, ...], cfg, sampling: Sampling
):
    """Returns the next `n` tokens of each row, (B, n), and the decoding after them.

    The first of these tokens is `decoding.token`. Each token costs one forward pass of one token.
    """

    def body(decoding, _):
        token_B, length_B = decoding.token, decoding.cache.length
        logits_B1V, cache = extend(
            params, token_B[:, None], jnp.ones_like(token_B), decoding.cache, cfg
        )
        tokens_BS = decoding.tokens.at[jnp.arange(len(token_B)), length_B].set(token_B)
        before = decoding.replace(cache=cache, tokens=tokens_BS)
        return _drawn(logits_B1V[:, 0], before, key, ends, sampling), token_B

    decoding, tokens_NB = jax.lax.scan(body, decoding, length=n)
    return tokens_NB.T, decoding


def _enlarged(decoding: Decoding, room: int) -> Decoding:
    """The decoding with room for `room` tokens per row."""
    pads = ((0, 0), (0, room - decoding.tokens.shape[1]))
    return decoding.replace(
        cache=grown(decoding.cache, room), tokens=jnp.pad(decoding.tokens, pads)
    )


_prefill = jax.jit(prefill, static_argnames=("room", "ends", "cfg", "sampling"))
_grown = jax.jit(_enlarged, static_argnames="room")
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
    context: int | None = None,
    chunk: int = 16,
) -> Iterator[np.ndarray]:
    """Yields up to `new` tokens after each prompt as they are generated, in arrays (B, <= chunk).

    Generation ends early once each row has sampled a token of `ends`; after that token, a row
    repeats the first of `ends`. Prompts of different lengths share a batch.
    context: most tokens that the model reads; None for any number. A row that would become longer
    continues from its last context / 2 tokens. Penalties count the tokens that the model reads.
    Raises UserError if logits are not finite.
    """
    windows, done, drawn = [[*map(int, row)] for row in prompts], np.zeros(len(prompts), bool), 0
    context = context or math.inf
    chunk = int(max(1, min(chunk, context // 2)))
    while drawn < new:
        rest = new - drawn
        windows = [
            row if len(row) + min(chunk, rest) <= context else row[-max(context // 2, 1) :]
            for row in windows
        ]
        room = max(context - max(map(len, windows)), chunk)  # a context of 1 has room for a draw
        fitting = rest if rest <= room else room // chunk * chunk
        pieces = _decoded(
            params,
            windows,
            done,
            drawn,
            key,
            new=fitting,
            chunk=chunk,
            ends=ends,
            cfg=cfg,
            sampling=sampling,
        )
        for tokens_BN, finished in pieces:
            yield tokens_BN
            if finished:
                return
            windows = [[*row, *map(int, piece)] for row, piece in zip(windows, tokens_BN)]
            done, drawn = done | np.isin(tokens_BN, ends).any(1), drawn + tokens_BN.shape[1]


def _decoded(
    params, windows, done, drawn: int, key, *, new: int, chunk: int, **static
) -> Iterator[tuple[np.ndarray, bool]]:
    """Yields up to `new` tokens after each window, in arrays (B, <= chunk), and if all are done.

    Widths are rounded up, so that windows of similar length share a program. Each step reads the
    whole cache, so its room starts small and doubles when it is full.
    """
    width, pieces = -(-max(map(len, windows)) // 16) * 16, -(-new // chunk)
    padded = np.array([[*row, *[0] * (width - len(row))] for row in windows], np.int32)
    lengths = np.array([len(row) for row in windows], np.int32)
    full_room = width + pieces * chunk
    room = min(full_room, max(SMALLEST_ROOM, width + chunk))
    decoding = _prefill(
        params, padded, lengths, done, np.int32(drawn), key, room=room - width, **static
    )
    for piece in range(pieces):
        if width + (piece + 1) * chunk > room:
            room = min(full_room, 2 * room)
            decoding = _grown(decoding, room=room)
        tokens_BN, decoding = _advance(params, decoding, key, n=chunk, **static)
        if not np.asarray(decoding.finite).all():
            raise UserError(
                "the model's logits are not finite: its weights are damaged, or overflow in its "
                "dtype; try --dtype float32"
            )
        finished = bool(np.asarray(decoding.done).all())
        yield np.asarray(tokens_BN)[:, : new - piece * chunk], finished
        if finished:
            return


def stream(
    params,
    prompts: Sequence[Sequence[int]],
    tokenizer,
    key,
    *,
    new: int,
    cfg,
    sampling: Sampling,
    context: int | None = None,
) -> Iterator[list[str]]:
    """Yields the texts after `prompts` (token ids) as they grow, one list per chunk of tokens.

    A list has one text per prompt; the last list ends after `new` tokens or at an end token. Tokens
    are decoded together with their prompt, because some tokenizers drop the space before the first
    word of a text. `decode` explains `context`. Raises UserError if `prompts` or one of them is
    empty, if a prompt or a suppressed token is outside the model's vocabulary, if `new` is below 1,
    or if logits are not finite.
    """
    if not prompts or new < 1 or not all(map(len, prompts)):
        raise UserError(
            "generation needs at least one prompt, no empty prompt, and new tokens >= 1"
        )
    if (largest := max(map(max, prompts))) >= cfg.vocab:
        raise UserError(f"a prompt has token {largest}, but the model's vocabulary is {cfg.vocab}")
    if (largest := max(sampling.suppress_tokens, default=0)) >= cfg.vocab:
        raise UserError(f"the suppressed token {largest} is above the vocabulary {cfg.vocab}")
    ends = tokenizer.ends
    rows, starts = [[] for _ in prompts], [len(tokenizer.decode(prompt)) for prompt in prompts]
    options = {"cfg": cfg, "sampling": sampling, "context": context}
    for piece_BN in decode(params, prompts, key, new=new, ends=ends, **options):
        rows = [[*row, *map(int, piece)] for row, piece in zip(rows, piece_BN)]
        texts = []
        for prompt, row, start in zip(prompts, rows, starts):
            kept = itertools.takewhile(lambda token: token not in ends, row)
            texts.append(tokenizer.decode([*prompt, *kept])[start:])
        yield texts


def generate(params, prompts: Sequence[str], tokenizer, key, **options) -> list[str]:
    """The text after each prompt, up to `new` tokens or an end token.

    An empty prompt starts a document. `stream` explains `options`, and raises the same
    errors.
    """
    ids = [tokenizer.prompt(text) for text in prompts]
    *_, texts = stream(params, ids, tokenizer, key, **options)
    return texts
