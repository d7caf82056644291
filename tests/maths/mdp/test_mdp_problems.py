import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.maths.mdp import problems, solvers
from panorax.testing.tolerances import DOUBLE

RESIDUAL = 1e-9
"""the walk contracts slowly: a residual of 1e-13 leaves an error of about 1e-11"""


def value_of(mdp):
    return solvers.solve(solvers.value_sweep, mdp, 1e-13).value


def test_values_of_the_gambler_are_closed_forms():
    bold, timid = problems.bold_play(100, 0.4), problems.timid_play(100, 0.55)
    np.testing.assert_allclose(bold[[0, 25, 50, 75, 100]], [0, 0.16, 0.4, 0.64, 1], **DOUBLE)
    np.testing.assert_allclose(value_of(problems.gambler(100, 0.4))[1:-1], bold[1:-1], **DOUBLE)
    np.testing.assert_allclose(value_of(problems.gambler(100, 0.55))[1:-1], timid[1:-1], **DOUBLE)
    np.testing.assert_allclose(problems.timid_play(4, 0.5), [0, 0.25, 0.5, 0.75, 1], **DOUBLE)


def test_values_of_cliff_deep_sea_and_walk_are_closed_forms():
    assert value_of(problems.cliff_walking())[36] == -13
    assert value_of(problems.deep_sea(6))[0] == pytest.approx(0.99)
    np.testing.assert_allclose(
        value_of(problems.random_walk(19))[1:-1], np.arange(1, 20) / 10 - 1, atol=RESIDUAL
    )


def test_garnets_have_distinct_successors():
    mdp = problems.garnet(np.random.default_rng(0), 9, 2, 4, 0.9)
    assert all(len(set(pair)) == 4 for pair in mdp.successor.reshape(-1, 4))
    assert len(np.unique(mdp.probability)) > 60


def test_mazes_have_start_and_goal():
    rows = problems.maze(np.random.default_rng(0), 8, 0.3)
    assert rows[0][0] == "S" and rows[-1][-1] == "G" and "#" in "".join(rows)


@pytest.mark.parametrize(
    "rows, message",
    [(("S.", "G"), "one length"), (("S?",), "got '\\?'"), (("..G",), "needs a start")],
)
def test_bad_maps_are_refused(rows, message):
    with pytest.raises(UserError, match=message):
        problems.gridworld(rows, 0.9)


def test_bad_numbers_are_refused():
    with pytest.raises(UserError, match="branching at most states, got 5 of 4"):
        problems.garnet(np.random.default_rng(0), 4, 2, 5, 0.9)
    with pytest.raises(UserError, match="minimum -0.2"):
        problems.gambler(4, 1.2)
    with pytest.raises(UserError, match="a discount of 1 needs termination"):
        problems.gridworld(("S#G",), 1.0)
