"""Generation with a key/value cache: one compiled prefill, one compiled loop over new tokens."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from panorax.core.errors import UserError
from panorax.lm.llama import Model, empty_cache, extend
from panorax.ops.sampling import Sampling, sample


@functools.partial(jax.jit, static_argnames=("new", "end", "cfg", "sampling"))
def decode(params, prompt_BT: Int[Array, "B T"], length_B: Int[Array, " B"], key, *, new: int, end: int, cfg: Model, sampling: Sampling):
    """`new` tokens after each prompt, (B, new) int32. `prompt_BT` is padded on the right, row b holding `length_B[b]` >= 1 tokens.

    A row that has drawn `end` repeats it. Each token costs one pass of one token through the model.
    """
    B, T = prompt_BT.shape
    logits_BTV, cache = extend(params, prompt_BT, length_B, empty_cache(cfg, B, T + new), cfg)
    last_BV = logits_BTV[jnp.arange(B), length_B - 1]

    def draw(logits_BV, done_B, n):
        token_B = jnp.where(done_B, end, sample(logits_BV, jax.random.fold_in(key, n), sampling))
        return token_B, done_B | (token_B == end)

    def body(carry, n):
        token_B, done_B, cache = carry
        logits_B1V, cache = extend(params, token_B[:, None], jnp.ones(B, jnp.int32), cache, cfg)
        next_B, done_B = draw(logits_B1V[:, 0], done_B, n)
        return (next_B, done_B, cache), token_B

    token_B, done_B = draw(last_BV, jnp.zeros(B, bool), 0)
    (token_B, _, _), tokens_NB = jax.lax.scan(body, (token_B, done_B, cache), jnp.arange(1, new))
    return jnp.concatenate([tokens_NB, token_B[None]]).T.astype(jnp.int32)


def generate(params, prompts: Sequence[str], tokenizer, key, *, new: int, cfg: Model, sampling: Sampling) -> list[str]:
    """The text after each prompt, up to `new` tokens or the end token. An empty prompt starts a document.

    Prompts of different lengths share a batch. Raises UserError where there is no prompt or nothing to generate.
    """
    if not prompts or new < 1:
        raise UserError("give at least one prompt and at least one token to generate")
    ids = [[tokenizer.end, *tokenizer.encode(prompt)] for prompt in prompts]
    width = -(-max(map(len, ids)) // 16) * 16  # a multiple of 16, so that prompts of similar length share a program
    padded = np.array([row + [0] * (width - len(row)) for row in ids], np.int32)
    lengths = np.array([len(row) for row in ids], np.int32)
    tokens = np.asarray(decode(params, padded, lengths, key, new=new, end=tokenizer.end, cfg=cfg, sampling=sampling))
    return [tokenizer.decode(row[: np.argmax(row == tokenizer.end)] if tokenizer.end in row else row) for row in tokens]
