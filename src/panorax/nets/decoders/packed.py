"""A decoder that reads rows of several texts each, as `panorax.data.packing` makes them."""

from jaxtyping import Array, Float, Int

from panorax.core.net import Net, stateless
from panorax.nets.decoders.decoder import spec, unembedding
from panorax.ops.unembedding import Unembedding


def net(cfg) -> Net:
    """The model that `cfg` describes: maps tokens, segments and positions (B, T) to logits.

    A token attends to earlier tokens of its own segment. The loss and the gradients of a text are
    those of the text alone.
    """

    def apply(
        params,
        tokens_BT: Int[Array, "B T"] | Float[Array, "B T D"],
        segments_BT: Int[Array, "B T"],
        positions_BT: Int[Array, "B T"],
    ) -> Unembedding:
        same_BTS = segments_BT[:, :, None] == segments_BT[:, None, :]
        return unembedding(params, tokens_BT, cfg, position_BT=positions_BT, mask_BTS=same_BTS)

    return stateless(spec(cfg), apply)
