"""States over the ends of episodes, closed forms of the losses, imagination and predictions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import spec
from panorax.core.step import descend
from panorax.nets.recurrent import rssm
from panorax.ops.two_hot import symexp, symlog, two_hot
from panorax.rl.environments.environment import Discrete, Observation
from panorax.rl.replay.experience import Transition
from panorax.rl.torsos import mlp
from panorax.rl.world_models.imagination import imagine, open_loop
from panorax.rl.world_models.world import World, bins, infer, losses
from panorax.testing.tolerances import LAYER

CFG = rssm.Config(recurrent=4, variables=2, classes=2, hidden=4, blocks=2)
SHAPE, BINS = (3,), 11
HEAD = mlp.Config((4,), layer_norm=True)
WORLD = World(
    CFG, Discrete(2), SHAPE, mlp.torso(HEAD, SHAPE), lambda: mlp.torso(HEAD, (CFG.width,)), BINS
)
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def with_predictions(params):
    """`params` whose reward head, which starts at 0, predicts something."""
    w = jnp.asarray(RNG.normal(size=params["reward"]["out"]["w"].shape), jnp.float32)
    return params | {"reward": params["reward"] | {"out": params["reward"]["out"] | {"w": w}}}


PARAMS = with_predictions(spec.init(WORLD.spec, KEY))
B, T = 2, 4
states_of = jax.jit(lambda rows: infer(WORLD, PARAMS, rows, KEY))


def drawn(ends: tuple[int, ...] = (), truncated: tuple[int, ...] = ()):
    """Rows whose episodes end, or are truncated, at these times."""
    view = RNG.normal(size=(B, T + 1, *SHAPE)).astype(np.float32)
    flags = lambda times: jnp.broadcast_to(jnp.isin(jnp.arange(T), jnp.array(times)), (B, T))
    return Transition(
        observation=Observation(jnp.asarray(view[:, :-1])),
        action=jnp.asarray(RNG.integers(0, 2, (B, T))),
        reward=jnp.asarray(RNG.normal(size=(B, T)), jnp.float32),
        terminated=flags(ends or (-1,)),
        truncated=flags(truncated or (-1,)),
        next_observation=Observation(jnp.asarray(view[:, 1:])),
    )


def changed(rows: Transition, time: int, after: bool) -> Transition:
    """`rows` with another view before or after the action at a time."""
    name = "next_observation" if after else "observation"
    view = getattr(rows, name).view
    return rows.replace(**{name: Observation(view.at[:, time].add(1))})


def differs(a, b) -> list[bool]:
    """Whether the distribution or h differs at each time."""
    return [bool((np.asarray(a)[:, t] != np.asarray(b)[:, t]).any()) for t in range(a.shape[1])]


def test_the_state_before_an_action_is_the_arrival_unless_an_episode_ended():
    for rows, opens in (
        (drawn(), (0,)),
        (drawn(ends=(1,)), (0, 2)),
        (drawn(truncated=(1,)), (0, 2)),
    ):
        states = states_of(rows)
        for t in range(T):
            arrival, before = states.predicting.h[:, t], states.before.h[:, t]
            np.testing.assert_array_equal(before, 0 if t in opens else arrival)


def test_an_opening_knows_its_view_alone_and_the_final_view_counts():
    rows = drawn(ends=(1,))
    q = lambda rows: states_of(rows).log_posterior
    assert differs(q(rows), q(changed(rows, 1, after=True))) == [False, False, True, False, False]

    # the arrival after an opening depends on the opening's view, through the sample of z
    def size(view):
        states = infer(WORLD, PARAMS, rows.replace(observation=Observation(view)), KEY)
        return jnp.sum(jnp.square(states.predicting.h[:, 3]))

    slope = np.abs(jax.jit(jax.grad(size))(rows.observation.view)).sum((0, 2))
    np.testing.assert_array_equal(slope > 0, [False, False, True, False])
    assert differs(q(rows), q(changed(rows, 0, after=False)))[0]


def test_losses_equal_their_closed_forms():
    rows = drawn(ends=(1, 3))
    states = states_of(rows)
    terms = losses(WORLD, PARAMS, rows, states, free=0.0)
    features = states.predicting.features
    target = np.concatenate([rows.observation.view[:, :1], rows.next_observation.view], 1)
    error = np.square(WORLD.head(PARAMS["view"], features) - symlog(jnp.asarray(target)))
    np.testing.assert_allclose(terms["view_loss"], 0.5 * error.sum(-1).mean(), **LAYER)
    log_r = jax.nn.log_softmax(WORLD.head(PARAMS["reward"], features[:, 1:]))
    target = two_hot(rows.reward, bins(BINS))
    np.testing.assert_allclose(terms["reward_loss"], -(target * log_r).sum(-1).mean(), **LAYER)
    log_p = rssm.prior(PARAMS["rssm"], states.predicting.h, CFG)
    p, q = np.exp(states.log_posterior), np.exp(log_p)
    kl = (p * np.log(p / q)).sum((-2, -1)).mean()
    np.testing.assert_allclose(terms["dynamics_loss"], kl, **LAYER)
    np.testing.assert_allclose(terms["representation_loss"], kl, **LAYER)
    chance = 1 / (1 + np.exp(-np.asarray(WORLD.head(PARAMS["continuation"], features)[..., 0])))
    picked = np.stack([chance[:, t] if t not in (2, 4) else 1 - chance[:, t] for t in range(5)])
    np.testing.assert_allclose(terms["continuation_loss"], -np.log(picked).mean(), **LAYER)
    capped = losses(WORLD, PARAMS, rows, states, free=50.0)
    np.testing.assert_array_equal(capped["dynamics_loss"], 50)


def test_the_two_sides_of_the_divergence_train_different_networks():
    rows = drawn(ends=(1,))

    def both(params):
        terms = losses(WORLD, params, rows, infer(WORLD, params, rows, KEY), 0.0)
        return terms["dynamics_loss"], terms["representation_loss"]

    size = lambda tree: sum(float(jnp.abs(x).sum()) for x in jax.tree.leaves(tree))
    grads = jax.jit(jax.jacrev(both))(PARAMS)
    dynamics, representation = (grad["rssm"] for grad in grads)
    assert size(dynamics["prior"]) > 0 and size(representation["prior"]) == 0
    assert size(representation["posterior"]) > 0


def test_imagination_follows_the_prior_and_the_chosen_actions():
    start = rssm.empty(CFG, (B,))
    act = lambda features, key: jnp.ones(B, jnp.int32)
    dream = jax.jit(lambda: imagine(WORLD, PARAMS, start, act, KEY, horizon=3))()
    assert dream.features.shape == (4, B, CFG.width) and dream.reward.shape == (3, B)
    reward = WORLD.mean(PARAMS["reward"], dream.features[1:])
    np.testing.assert_allclose(dream.reward, reward, **LAYER)
    logit = np.asarray(WORLD.head(PARAMS["continuation"], dream.features[1:])[..., 0])
    np.testing.assert_allclose(dream.continuation, 1 / (1 + np.exp(-logit)), **LAYER)
    h = rssm.advance(PARAMS["rssm"], start, jax.nn.one_hot(jnp.ones(B, int), 2), CFG)
    np.testing.assert_allclose(dream.features[1, :, : CFG.recurrent], h, **LAYER)


def test_an_open_loop_prediction_sees_only_the_first_views():
    rows = drawn()
    predict = jax.jit(lambda rows: open_loop(WORLD, PARAMS, rows, 2, KEY))
    predicted = predict(rows)
    assert predicted.shape == (B, T, *SHAPE)
    np.testing.assert_array_equal(predicted, predict(changed(rows, 2, after=True)))
    features = infer(
        WORLD, PARAMS, jax.tree.map(lambda x: x[:, :2], rows), jax.random.split(KEY)[0]
    )
    view = symexp(WORLD.head(PARAMS["view"], features.predicting.features[:, 1:]))
    np.testing.assert_allclose(predicted[:, :2], view, **LAYER)


def test_bins_are_symmetric():
    values = np.asarray(bins(255))
    assert len(values) == 255 and (np.diff(values) > 0).all()
    np.testing.assert_array_equal(values, -values[::-1])


def test_imagination_remembers_a_cue_that_later_views_do_not_show():
    """The reward of the second action is the first view; the other views and actions are 0."""
    cfg = rssm.Config(recurrent=32, variables=2, classes=2, hidden=16, blocks=2)
    head = mlp.Config((16,), layer_norm=True)
    world = World(
        cfg, Discrete(2), (1,), mlp.torso(head, (1,)), lambda: mlp.torso(head, (cfg.width,)), 59
    )
    cue = jnp.where(jnp.arange(16) % 2, 1.0, -1.0)
    view = jnp.zeros((16, 3, 1)).at[:, 0, 0].set(cue)
    end = jnp.array([[False, True]] * 16)
    rows = Transition(
        observation=Observation(view[:, :-1]),
        action=jnp.zeros((16, 2), jnp.int32),
        reward=cue[:, None] * end,
        terminated=end,
        truncated=jnp.zeros_like(end),
        next_observation=Observation(view[:, 1:]),
    )

    def loss(params, key):
        return sum(losses(world, params, rows, infer(world, params, rows, key), 1.0).values())

    @jax.jit
    def dream(key):
        params = spec.init(world.spec, key)
        params, _ = descend(loss, optax.adam(5e-3), params, jax.random.split(key, 600))
        u = rssm.noise(key, (16,), cfg)
        start, _ = world.opening(params, world.encode(params, cue[:, None]), u)
        act = lambda features, key: jnp.zeros(16, jnp.int32)
        return imagine(world, params, start, act, key, horizon=2)

    dreamt = dream(jax.random.key(1))
    earned = np.median(
        np.asarray(dreamt.reward) * np.asarray(cue), 1
    )  # a sample of z can miss the cue
    assert abs(earned[0]) < 0.1 and abs(earned[1] - 1) < 0.2, earned
    assert dreamt.continuation[0].min() > 0.9 and dreamt.continuation[1].max() < 0.1
