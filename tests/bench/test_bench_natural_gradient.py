import pytest

from panorax.bench import natural_gradient as bench

SETTING = vars(
    bench.Config(
        sizes=(64, 4, 64), channels=(2,), batch=16, most=(30, 30), target=(20.0, 2.2), window=(3, 3)
    )
)


@pytest.mark.parametrize("contender", [bench.by_kfac, bench.by_adam])
@pytest.mark.parametrize("problem", [0, 1])
def test_contender_stops_at_the_target(contender, problem, tmp_path):
    facts, work = contender(SETTING | {"problem": problem}, tmp_path)
    assert work() == 60 and 3 <= facts["steps"] <= 30
    assert facts["loss"] < SETTING["target"][problem] or facts["steps"] == 30
