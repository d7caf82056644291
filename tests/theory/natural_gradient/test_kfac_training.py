import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from panorax.core import spec as core_spec
from panorax.maths.optimisation.kfac import adaptive_kfac, record
from panorax.nets.convolutional.convnet import conv
from panorax.testing.tolerances import LAYER, NUMBER
from panorax.theory.natural_gradient.kfac_training import (
    autoencoder,
    classifier,
    smoothed,
    start,
    steps_to,
    train,
)

KEY = jax.random.key(0)


def test_classifier_equals_convolutions_and_an_affine_layer():
    problem = classifier((3, 2))
    params = core_spec.init(problem.spec, KEY)
    x = problem.x[:5]
    hidden = jnp.tanh(conv(params[1], jnp.tanh(conv(params[0], x)), stride=2)).reshape(5, -1)
    np.testing.assert_allclose(
        problem.outputs(params, x), hidden @ params[2]["w"] + params[2]["b"][None], **LAYER
    )


@pytest.mark.parametrize(
    "problem", [autoencoder((64, 3, 64)), classifier((2,))], ids=["autoencoder", "classifier"]
)
def test_taps_and_inputs_give_the_gradient_of_the_weights(problem):
    params, x, t = core_spec.init(problem.spec, KEY), problem.x[:6], problem.t_NK[:6]
    z, inputs, pull = record(problem.net, params, x)
    slopes = pull(problem.family.mean(z) - t)
    gradient = jax.grad(problem.loss)(params, x, t)
    for layer, a, g in zip(gradient, inputs, slopes, strict=True):
        a, g = a.reshape(-1, a.shape[-1]), g.reshape(-1, g.shape[-1])
        w = layer["w"].reshape(-1, layer["w"].shape[-1])
        np.testing.assert_allclose(a.T @ g / 6, w, **LAYER)
        np.testing.assert_allclose(jnp.sum(g, 0) / 6, layer["b"], **NUMBER)


def test_perfect_reconstruction_has_loss_zero():
    problem = autoencoder((64, 3, 64))
    logit = lambda params, taps, x: (jnp.log(x + 1e-12) - jnp.log1p(1e-12 - x), ())
    perfect = problem._replace(net=logit)
    loss = perfect.loss((), jnp.clip(problem.x, 1e-6, 1 - 1e-6), problem.x)
    assert abs(float(loss)) < 1e-3


def test_training_lowers_the_loss_and_kfac_needs_fewer_steps():
    problem = autoencoder((64, 8, 64))
    beginning = start(problem, KEY, 30, 64)
    run = lambda tx: np.asarray(jax.jit(lambda *args: train(problem, tx, *args))(*beginning))
    adam, kfac = run(optax.adam(1e-2)), run(adaptive_kfac(1.0))
    assert adam[0] == kfac[0] and adam[-1] < 0.8 * adam[0] and kfac[-1] < 0.7 * adam[-1]


def test_steps_to_counts_smoothed_losses():
    losses = np.array([5.0, 4, 3, 2, 1, 0])
    np.testing.assert_allclose(smoothed(losses, 2), [4.5, 3.5, 2.5, 1.5, 0.5])
    assert steps_to(losses, 2.0, 2) == 5 and steps_to(losses, 0.1, 2) == 7
    assert steps_to(np.full(6, np.nan), 1.0, 2) == 7


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="as many"):
        smoothed(np.ones(3), 10)
    for sizes in ((64, 64), (32, 4, 32), (64, 4, 3, 64), (64, 10, 32)):
        with pytest.raises(ValueError, match="sizes from 64"):
            autoencoder(sizes)
