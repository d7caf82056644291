"""What the comparison of contexts makes of what its contenders tell."""

import pytest

from panorax.bench import context, training
from panorax.bench.rounds import Measured


def test_growth_is_that_of_the_last_doubling_over_the_one_before(monkeypatch, tmp_path):
    def told(contenders, size, folder, rounds, environment):
        facts = {
            "panorax, step by step": {"temporaries_mb": 10 + size["context"] ** 2 / 64},
            "torch": {},
        }
        return {
            name: Measured([2.0] * rounds, [1.0] * rounds, facts[name] | {"losses": [1.0, 2.0]})
            for name in contenders
        }

    monkeypatch.setattr(training, "compare", told)
    table = context.benchmark(
        context.Config(d_model=8, d_ff=8, contexts=(16, 32, 64), rounds=3), tmp_path
    )
    assert table.metrics["memory_growth"] == pytest.approx(4)
    assert [row["contender"] for row in table.rows] == [
        "panorax, step by step",
        "torch",
    ] * 3 and table.metrics["64_torch_ratio"] == 1
