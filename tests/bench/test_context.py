"""The memory growth that the comparison of contexts computes from its contenders' facts."""

import pytest

from panorax.bench import context, training
from panorax.bench.rounds import Measured


def test_memory_growth_divides_the_last_two_doublings(monkeypatch, tmp_path):
    def measured(contenders, size, folder, rounds, environment):
        facts = {
            "panorax, step by step": {"temporaries_mb": 10 + size["context"] ** 2 / 64},
            "torch": {},
        }
        return {
            name: Measured([2.0] * rounds, [1.0] * rounds, facts[name] | {"losses": [1.0, 2.0]})
            for name in contenders
        }

    monkeypatch.setattr(training, "compare", measured)
    cfg = context.Config(d_model=8, d_ff=8, contexts=(16, 32, 64), rounds=3)
    table = context.benchmark(cfg, tmp_path)
    assert table.metrics["memory_growth"] == pytest.approx(4)
    assert [row["contender"] for row in table.rows] == ["panorax, step by step", "torch"] * 3
    assert table.metrics["64_torch_ratio"] == 1
