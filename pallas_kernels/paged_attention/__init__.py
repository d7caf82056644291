"""Attention of one new token per sequence over a cache in pages: a decoding step of a server.

A server keeps the keys and values of all sequences in pages of a few tokens each. A sequence is a
list of page numbers, so that sequences grow, end and share prefixes without a copy:

    k_pages, v_pages    [G, pages, page, K]
    block_tables        [B, P]    token s of sequence b has the page block_tables[b, s // page] and
                                  is token s % page of that page
    lengths             [B]       tokens of each sequence, the new token included

    p_bhs = softmax over s < length_b of cap(scale q_bh . k_s),        out_bh = sum_s p_bhs v_s

**Tiling.** A program owns one sequence, one key/value head and one split of the sequence. It keeps
a maximum, a sum and an output for all H / G query heads of the head, so that one read of a key
serves all of them. The query heads are the rows of a matrix, padded to 16 for tensor cores.
**Splits.** One token has no parallelism over queries, and B G programs do not fill a GPU if the
sequences are few and long. So a sequence is split, each program writes a partial output and its
log-sum-exp, and `online.combine` merges the partial outputs (flash decoding).
**Pages.** On a GPU the program looks up the page of each key, so that the tile of keys does not
depend on the page size. On a TPU the block tables lie in scalar memory and the index maps read
them: the pipeline fetches the pages of the next program while the present one computes.
**Traffic.** Each key and value is read once, 2 G K elements a token. Queries, outputs and partial
outputs are small beside the cache.
**Intensity.** 4 H K operations a token against 4 G K bytes in bf16: H / G operations a byte, 1 to
16 in practice. The kernel is bound by memory. Its roofline is the copy bandwidth.

`layouts` converts vLLM's caches. Sources: Kwon et al. 2023, arXiv:2309.06180 (pages); Dao et al.
2023, "Flash-Decoding for long-context inference" (splits); Ainslie et al. 2023 (grouped heads).
"""

import jax

from pallas_kernels.choice import first_that_runs, portable
from pallas_kernels.paged_attention.kernel import kernel
from pallas_kernels.paged_attention.options import checked
from pallas_kernels.paged_attention.reference import reference
from pallas_kernels.paged_attention.xla import blockwise


def paged_attention(
    q: jax.Array,
    k_pages: jax.Array,
    v_pages: jax.Array,
    block_tables: jax.Array,
    lengths: jax.Array,
    *,
    scale: float | None = None,
    cap: float | None = None,
    window: int | None = None,
    splits: int | None = None,
    implementation: str | None = None,
) -> jax.Array:
    """Attention of the newest token over its sequence, [B, H, K], in the dtype of `q`.

    q: queries [B, H, K]; G divides H.  k_pages, v_pages: [G, pages, page, K].
    block_tables: int [B, P]. Entries after the last page of a sequence may have any value; their
    pages are not read.
    lengths: int [B], clipped to [0, P page].
    scale: factor of the logits, by default 1 / sqrt(K).
    cap: soft cap; the logits become cap tanh(logits / cap).
    window: number of last tokens, the new token included, that count; None: all.
    splits: GPU programs that share a sequence; by default enough to fill the GPU.

    A sequence of length 0 has output 0. Logits and softmax are computed in float32. Not
    differentiable. Raises ValueError for shapes or options that do not fit.
    """
    return paged_attention_and_lse(
        q,
        k_pages,
        v_pages,
        block_tables,
        lengths,
        scale=scale,
        cap=cap,
        window=window,
        splits=splits,
        implementation=implementation,
    )[0]


def paged_attention_and_lse(
    *arrays: jax.Array, implementation: str | None = None, **options
) -> tuple[jax.Array, jax.Array]:
    """`paged_attention` and the log-sum-exp of its logits, float32 [B, H]; -inf for length 0.

    With it `online.combine` merges attention over two caches, such as a shared prefix and a rest.
    """
    return first_that_runs(IMPLEMENTATIONS, implementation, *arrays, checked(*arrays, **options))


def _definition(*arguments):
    *arrays, options = arguments
    return reference(*arrays, **options._asdict())


IMPLEMENTATIONS = {"reference": _definition, "xla": blockwise, **portable(kernel)}
