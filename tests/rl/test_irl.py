"""Maximum-entropy inverse reinforcement learning: gradients, shaping, and comparison of rewards."""

import jax
import numpy as np

from panorax.maths.mdp import problems, soft, solvers
from panorax.rl import irl
from panorax.testing.tolerances import DOUBLE

CFG = irl.Config()
TRUTH = irl.problem(CFG)
RANDOM = np.random.default_rng(0)


def shaped(reward_SA, potential_S):
    """r + phi(s) - gamma E[phi(s')] by loops."""
    mdp, result = TRUTH.mdp, reward_SA.copy()
    for s, a in np.ndindex(*reward_SA.shape):
        ahead = sum(p * potential_S[t] for p, t in zip(mdp.probability[s, a], mdp.successor[s, a]))
        result[s, a] += potential_S[s] - CFG.discount * ahead
    return result


def test_the_features_of_cells_give_the_true_reward():
    flat = np.array([*"".join(irl.MAP)])
    weights = np.select([flat == "G", flat == "H"], [CFG.goal, -CFG.pit])
    free = ~TRUTH.mdp.terminal
    np.testing.assert_allclose(
        (TRUTH.features["cells"] @ weights)[free], TRUTH.reward[free], **DOUBLE
    )


def test_shaping_changes_neither_the_policy_nor_the_comparison():
    potential = RANDOM.normal(size=len(TRUTH.mdp.start)) * ~TRUTH.mdp.terminal
    reward = shaped(TRUTH.reward, 30 * potential)
    same = soft.with_reward(TRUTH.mdp, reward)
    np.testing.assert_allclose(irl.solved(same)[1], irl.solved(TRUTH.mdp)[1], **DOUBLE)
    score = irl.compared(TRUTH, reward)
    assert score["raw_correlation"] < 0.5 and score["correlation"] > 1 - 1e-9
    assert score["optimal"] == 1 and abs(score["regret"]) < 1e-9


def test_another_reward_is_told_apart():
    score = irl.compared(TRUTH, -TRUTH.reward)
    assert score["correlation"] < -0.99 and score["optimal"] < 1 and score["regret"] > 0.1
    wrong = TRUTH.reward + RANDOM.normal(size=TRUTH.reward.shape) * 5
    assert irl.compared(TRUTH, wrong)["correlation"] < 0.7


def test_the_gradient_vanishes_at_the_reward_of_the_expert_and_fit_recovers_it():
    features = TRUTH.features["cells"]
    flat = np.array([*"".join(irl.MAP)])
    weights = np.select([flat == "G", flat == "H"], [CFG.goal, -CFG.pit])
    visits = irl.visits_of(TRUTH.mdp, irl.solved(TRUTH.mdp)[1])
    counts = np.einsum("sa,sad->d", visits, features)
    _, gradient = irl.dual(weights, TRUTH.mdp, features, counts)
    assert np.abs(gradient).max() < 1e-9
    score = irl.compared(TRUTH, features @ irl.fit(TRUTH.mdp, features, counts, 1e-6))
    assert score["correlation"] > 0.999 and score["optimal"] == 1
    strong = irl.fit(TRUTH.mdp, features, counts, 10.0)
    assert np.abs(strong).max() < 1


def test_the_gradient_is_that_of_autodiff_and_of_differences():
    metrics = irl.gradients(jax.random.key(0), CFG).metrics
    assert metrics["gradient_gap_autodiff"] < 1e-9 and metrics["gradient_gap_differences"] < 1e-6


def test_paths_end_at_the_goal():
    mdp = problems.gridworld(("SG",), 1.0)
    assert [*irl.paths(mdp, 0, 2)] == [
        *[((0, 0), (0, a)) for a in range(4)],
        *[((0, 1), (0, a)) for a in range(4)],
        ((0, 2),),
        *[((0, 3), (0, a)) for a in range(4)],
    ]


def test_trajectories_have_probabilities_proportional_to_their_exponential_rewards():
    metrics = irl.horizon(jax.random.key(0), irl.Config(horizon=3)).metrics
    gaps = [x for name, x in metrics.items() if "gap" in name]
    assert len(gaps) == 3 and max(gaps) < 1e-12


def test_sets_of_demonstrations_start_anywhere_and_visit_in_discounted_time():
    sets = [*irl.demonstrated(TRUTH, 40, jax.random.key(0), irl.Config(repeats=2, steps=30))]
    assert len(sets) == 2
    for start, visits in sets:
        assert np.isclose(start.sum(), 1) and (start > 0).sum() > 10
        assert 1 < visits.sum() < (1 - 0.9**30) / 0.1 + 1e-9
    assert not np.array_equal(sets[0][1], sets[1][1])


def test_the_optimal_policy_of_the_map_reaches_the_goal():
    assert (solvers.policy_iteration(TRUTH.mdp).value[~TRUTH.mdp.terminal] > 0).all()
