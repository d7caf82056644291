"""Flax modules, Linen or NNX, as a `Net` that any training step accepts.

    net = linen(MyModule(), jnp.zeros((1, 28, 28, 1)), mode=lambda train: {"train": train})
    net = nnx(lambda rngs: MyModule(rngs=rngs))
    system = classifier.system(cfg, net=net)

The state of the net holds every collection of the module besides its parameters, such as batch
statistics, and the random streams of NNX. A module without any has the state `{}`. `net.spec`
declares the parameters as a tree of P, which gives their counts, weight-decay masks and shardings.
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
    """A Linen module as a Net, initialised with inputs of the shapes of `example`.

    mode(train): keyword arguments of the module in training or evaluation, e.g. {"train": train}.
    streams: names of the module's random streams; each has its own key, folded from `key`.
    """

    def init(key):
        variables = dict(module.init(key, *example, **mode(False)))
        return variables.pop("params", {}), variables

    def apply(params, extra, *inputs, key=None, train=False):
        names = () if key is None else streams
        keys = {name: jax.random.fold_in(key, i) for i, name in enumerate(names)}
        mutable = list(extra) if train else []
        outputs, changed = module.apply(
            {"params": params, **extra}, *inputs, rngs=keys, mutable=mutable, **mode(train)
        )
        return outputs, {**extra, **changed}

    return Net(declared(init), init, apply)


def nnx(make: Callable) -> Net:
    """The NNX module `make(rngs)` as a Net with a fixed graph.

    `apply` calls `module.train()` if `train` is true and `module.eval()` otherwise.
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
    """The parameters of `init(key) -> (params, extra)` as a tree of P with the same initialisers.

    The last axis is named "outputs" and the axis before it "inputs", as in Flax kernels. Earlier
    axes are named "y" and never split.
    """

    def declare(path, x):
        def draw(key, shape, dtype):
            params, _ = init(key)
            for step in path:
                params = params[step.key]
            return params.astype(dtype)

        names = ("y",) * (x.ndim - 2) + ("inputs", "outputs")
        return P(x.shape, names[len(names) - x.ndim :], draw)

    params, _ = jax.eval_shape(init, jax.random.key(0))
    return jax.tree_util.tree_map_with_path(declare, params)
