"""Image classification by a convolutional network (LeCun et al. 1998; He et al. arXiv:1512.03385).

The network maps an image x to logits over V classes. Training minimises the cross entropy with the
smoothed label y (Szegedy et al. 2015, arXiv:1512.00567), in nats:

    L = - mean [ (1 - s) log p(y | a(x)) + s / V sum_c log p(c | a(x)) ]

The augmentation a shifts each image by a random number of pixels and mirrors it with probability
1/2. Pixels in [0, 1] are standardised by the mean and deviation of the config. Training updates the
state of the network, such as the running averages of a ResNet; evaluation leaves it unchanged.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from panorax.core.config import Run, module_of
from panorax.core.net import Net
from panorax.core.optim import SGD, Optimizer, optimizer
from panorax.core.ranges import Count, Positive, Share, Whole, checked
from panorax.core.state import Result, State, System, first_state
from panorax.core.step import update
from panorax.data import images
from panorax.data.augmentation import mirrored, shifted
from panorax.data.batches import weighted
from panorax.data.source import Source
from panorax.nets.convolutional import convnet, resnet
from panorax.ops.losses import cross_entropy, smoothed_cross_entropy
from panorax.vision.report import held_out_report

UNITS = {"loss": "nats per image", "accuracy": "share of images"}
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    net: resnet.Config | convnet.Config = resnet.Config()
    """network"""
    data: images.Config = images.Config()
    """training and held-out images"""
    optim: Optimizer = SGD()
    """optimiser"""
    run: Run = Run()
    """length of the run, and intervals of evaluation and checkpoints"""
    batch: Count = 128
    """images per step [B]"""
    accumulate: Count = 1
    """micro-batches per batch; batch normalisation uses the statistics of a micro-batch"""
    smoothing: Share = 0.0
    """share of the target probability that is uniform over all classes in training [s]"""
    shift: Whole = 0
    """largest random shift of a training image in each direction, in pixels"""
    border: Literal["black", "reflect"] = "black"
    """pixels beyond the border of a shifted image: black, or the image's reflection"""
    flip: bool = False
    """mirroring of training images with probability 1/2, and averaging of the logits of each
    held-out image and its mirror image in the report"""
    mean: tuple[float, ...] = (0.5,)
    """mean of the pixels in [0, 1], for all colours or one per colour"""
    deviation: tuple[Positive, ...] = (0.5,)
    """standard deviation of the pixels in [0, 1], for all colours or one per colour"""
    neighbors: Whole = 0
    """held-out images that the nearest-neighbour baseline classifies; 0 disables it"""

    def __post_init__(self):
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate {self.accumulate} must divide batch {self.batch}")
        if self.border == "reflect" and self.shift >= self.data.size:
            size = f"the size {self.data.size} of reflected images"
            raise ValueError(f"shift {self.shift} must be below {size}")
        for name, numbers in (("mean", self.mean), ("deviation", self.deviation)):
            if len(numbers) not in (1, channels := self.data.channels):
                raise ValueError(f"{name} must have 1 or {channels} numbers, got {numbers}")


def augmented(
    key: jax.Array, x_BYXC: Float[Array, "B Y X C"], cfg: Config
) -> Float[Array, "B Y X C"]:
    """a(x): images with a random shift (`cfg.shift`) and a random mirroring (`cfg.flip`)."""
    key_shift, key_flip = jax.random.split(key)
    if cfg.shift:
        x_BYXC = shifted(key_shift, x_BYXC, cfg.shift, cfg.border)
    if cfg.flip:
        x_BYXC = mirrored(key_flip, x_BYXC)
    return x_BYXC


def standardised(x_BYXC: Float[Array, "B Y X C"], cfg: Config) -> Float[Array, "B Y X C"]:
    """(p - mean) / deviation of the pixels p = (x + 1) / 2; x is in [-1, 1]."""
    mean, deviation = (jnp.array(values)[None, None, None] for values in (cfg.mean, cfg.deviation))
    return ((x_BYXC + 1) / 2 - mean) / deviation


def loss_fn(params, extra, batch, key, net: Net, cfg: Config):
    """The loss L above; the metric `accuracy` is the share of correct argmax predictions."""
    key_augment, key_net = jax.random.split(key)
    x = standardised(augmented(key_augment, batch["x"], cfg), cfg)
    logits_BV, extra = net.apply(params, extra, x, key=key_net, train=True)
    loss = jnp.mean(smoothed_cross_entropy(logits_BV, batch["label"], cfg.smoothing))
    accuracy = jnp.mean(jnp.argmax(logits_BV, -1) == batch["label"])
    return loss, (extra, {"accuracy": accuracy})


def train_step(state: State, batch, key, net: Net, tx: optax.GradientTransformation, cfg: Config):
    """One update."""
    loss = functools.partial(loss_fn, net=net, cfg=cfg)
    params, opt, extra, metrics = update(
        loss, tx, state.params, state.opt, state.extra, batch, key, cfg.accumulate
    )
    return State(params, opt, extra, state.step + 1), metrics


def evaluate(state: State, batch, key, net: Net, cfg: Config):
    """Cross entropy without smoothing, and accuracy, of images without augmentation."""
    logits_BV, _ = net.apply(state.params, state.extra, standardised(batch["x"], cfg))
    correct_B = jnp.argmax(logits_BV, -1) == batch["label"]
    total = jnp.sum(batch["weight"])
    return {
        "eval_loss": (jnp.sum(cross_entropy(logits_BV, batch["label"]) * batch["weight"]), total),
        "eval_accuracy": (jnp.sum(correct_B * batch["weight"]), total),
    }


def report(state: State, key: jax.Array, net: Net, source: Source, cfg: Config) -> Result:
    """Accuracy by class on held-out images, and the nearest-neighbour baseline."""

    @jax.jit
    def logits(x_BYXC):
        return net.apply(state.params, state.extra, standardised(x_BYXC, cfg))[0]

    return held_out_report(logits, source, cfg)


def system(
    cfg: Config, net: Net | None = None, tx: optax.GradientTransformation | None = None
) -> System:
    """The classifier of the config; `net` and `tx` replace its network and optimiser."""
    source = module_of(cfg.data).source(cfg.data)
    net = net or module_of(cfg.net).net(cfg.net, source.shape, source.classes)
    tx = tx or optimizer(cfg.optim, cfg.run.steps, net.spec)
    rows = lambda dtype, *shape: jax.ShapeDtypeStruct((cfg.batch, *shape), dtype)

    def init_state(key):
        params, extra = net.init(key)
        return first_state(params, tx, extra)

    return System(
        spec=net.spec,
        init_state=init_state,
        train_step=functools.partial(train_step, net=net, tx=tx, cfg=cfg),
        evaluate=functools.partial(evaluate, net=net, cfg=cfg),
        batch={"x": rows(jnp.float32, *source.shape), "label": rows(jnp.int32)},
        batches=lambda step: source.batch(cfg.batch, cfg.run.seed, step),
        held_out=lambda: weighted(source.held_out(), cfg.batch),
        report=functools.partial(report, net=net, source=source, cfg=cfg),
        micro_batches=cfg.accumulate,
        per_step={"images": cfg.batch},
    )
