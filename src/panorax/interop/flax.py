"""A Flax module, Linen or NNX, as a `Net`: the network of any training step here.

    net = linen(MyModule(), jnp.zeros((1, 28, 28, 1)), mode=lambda train: {"train": train})
    net = nnx(lambda rngs: MyModule(rngs=rngs))
    system = classifier.system(cfg, net=net)

The state of the net is what the module carries besides its parameters: batch statistics and other collections,
and for NNX its random streams. A module without any has the state `{}`. `net.spec` declares the parameters as
`panorax.core.spec` does, so that counts, weight-decay masks and shardings come from it.
"""

from collections.abc import Callable

import jax

from panorax.core.net import Net
from panorax.core.spec import P


def linen(
    module,
    *example,
    mode: Callable[[bool], dict] = lambda train: {},
    streams: tuple[str, ...] = ("dropout",),
) -> Net:
    """A Linen module that is initialised with inputs of the shapes of `example`.

    mode(train) -> the keyword arguments of the module in training and in evaluation, such as {"train": train}.
    streams: names of the random streams that the module draws from in training; each gets a key of its own.
    """

    def init(key):
        variables = dict(module.init(key, *example, **mode(False)))
        return variables.pop("params", {}), variables

    def apply(params, extra, *inputs, key=None, train=False):
        keys = (
            {}
            if key is None
            else {name: jax.random.fold_in(key, i) for i, name in enumerate(streams)}
        )
        mutable = list(extra) if train else []
        outputs, changed = module.apply(
            {"params": params, **extra}, *inputs, rngs=keys, mutable=mutable, **mode(train)
        )
        return outputs, {**extra, **changed}

    return Net(declared(init), init, apply)


def nnx(make: Callable) -> Net:
    """The NNX module that `make(rngs)` returns; its graph is kept, its values are parameters and state.

    In training the module is in the mode of `module.train()`, else in that of `module.eval()`.
    """
    from flax import nnx

    graph, *abstract = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))), nnx.Param, ...)

    def init(key):
        _, params, extra = nnx.split(make(nnx.Rngs(key)), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(extra)

    def apply(params, extra, *inputs, key=None, train=False):
        states = jax.tree.map(lambda x: x, abstract)
        for state, values in zip(states, (params, extra), strict=True):
            nnx.replace_by_pure_dict(state, values)
        module = nnx.merge(graph, *states)
        module.train() if train else module.eval()
        outputs = module(*inputs)
        return outputs, nnx.to_pure_dict(nnx.split(module, nnx.Param, ...)[2])

    return Net(declared(init), init, apply)


def declared(init: Callable):
    """The parameters of `init(key) -> (params, extra)` as a tree of P, each drawn as `init` draws it.

    The last axis is named "outputs", the one before it "inputs", as Flax orders kernels; axes before them are kept whole.
    """

    def declare(path, x):
        def draw(key, shape, dtype):
            params, _ = init(key)
            for step in path:
                params = params[step.key]
            return params.astype(dtype)

        return P(
            x.shape,
            ("y",) * (x.ndim - 2) + ("inputs", "outputs")[-x.ndim :] if x.ndim else (),
            draw,
        )

    params, _ = jax.eval_shape(init, jax.random.key(0))
    return jax.tree_util.tree_map_with_path(declare, params)
