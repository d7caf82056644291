import pytest

from panorax.bench.rl import replay as bench

SETTING = vars(bench.Config(n_envs=2, batch=64, view=(2,), steps=3)) | {"capacity": 64}


@pytest.mark.parametrize("priorities", [False, True])
def test_contender_draws_from_the_whole_replay(tmp_path, priorities):
    facts, work = bench.by_panorax(SETTING | {"priorities": priorities}, tmp_path)
    assert work() == 3
    assert abs(facts["mean_position"] - 0.5) < 0.02
