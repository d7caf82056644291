"""CPU-seconds of the suite by entry of the catalogue; an entry far above its budget is a failure.

A pytest plugin, loaded by `conftest.py`. The cost of an entry is the cost of its contract tests and
of the test files of its volume and of parity that import its module. Entries that one file imports
share its cost equally.
"""

import collections
import resource
import time
from pathlib import Path

import pytest

from panorax import catalogue

TRAINED, STUDY = 15.0, 8.0  # CPU-seconds with an empty cache
MAY_EXCEED = 2.0
ROOT = Path(__file__).resolve().parents[1]
# Larger budgets, about 1.2 times the cost on idle cores: of entries that are older than the
# budgets, and of entries whose tests compile tree searches. Work beside the suite, on the same
# cores, adds up to 60% to the CPU-seconds of an entry.
LARGER = {
    "generative/flow_matching_unet": 40.0,
    "lm/lora": 25.0,
    "lm/distillation": 25.0,  # compiles a teacher, a student and both
    "alignment/sft": 25.0,  # a tokenizer and answers beside the training step
    "alignment/grpo": 45.0,  # fine-tuning, sampling and updates, compiled for eight devices too
    "alignment/dpo": 45.0,  # fine-tuning, pairs and answers, compiled for eight devices too
    "lm/attention_variants": 20.0,  # compiles six decoders: training, evaluation and cache
    "lm/positions": 15.0,  # compiles five decoders, and four scalings at every length
    "lm/swiglu": 15.0,  # compiles eight decoders
    "lm/kv_cache": 15.0,  # compiles a decoder with eight caches
    "distributed/zero": 25.0,
    "distributed/tensor_parallel": 25.0,
    "distributed/data_parallel": 20.0,
    "rl/alphazero": 60.0,  # searches compiled for one and for eight devices, and both starts
    "rl/alphazero_connect_four": 35.0,
    "rl/irl": 12.0,  # fits by exact visits and by gradients, compiled apart
    "rl/bc": 20.0,  # compiles PPO, which trains the expert
    "rl/muzero": 35.0,
    "rl/dreamer": 60.0,  # a model, its imagination and five heads, compiled for eight devices too
    "rl/mcts": 30.0,  # five searches compiled twice
    "rl/ppo": 20.0,
    "rl/ppo_memory": 20.0,
    "theory/natural_gradient": 20.0,
    "theory/autodiff": 18.0,
    "theory/em": 15.0,
    "theory/hessian_spectrum": 15.0,
    "theory/information": 15.0,
    "theory/saddle_points": 15.0,
    "theory/second_order": 15.0,
    "theory/variational_inference": 15.0,
    "theory/flat_minima": 12.0,
    "theory/information_bottleneck": 12.0,
    "theory/manifold": 12.0,
    "rl/q_learning": 15.0,  # compiles a program for each family of learning rules
    "hardware/flash_attention_kernel": 15.0,
    "hardware/grouped_matmul_kernel": 10.0,
    "hardware/roofline": 10.0,
}


def budget(entry: catalogue.Entry) -> float:
    """CPU-seconds that all tests of an entry may take."""
    return LARGER.get(entry.name, STUDY if entry.is_study else TRAINED)


def cpu_seconds() -> float:
    """CPU time of all threads of this process and of its finished child processes."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    before = cpu_seconds()
    result = yield
    item.config.stash.setdefault(SPENT, {})[item.nodeid] = cpu_seconds() - before
    return result


SPENT = pytest.StashKey[dict]()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Collects the times of a finished xdist worker in the main process."""
    spent = node.config.stash.setdefault(SPENT, {})
    spent.update(getattr(node, "workeroutput", {}).get("cpu_seconds", {}))


def pytest_sessionfinish(session, exitstatus):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["cpu_seconds"] = session.config.stash.get(SPENT, {})
    elif exitstatus == 0 and over_budget(by_entry(session.config.stash.get(SPENT, {}))):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def by_entry(spent: dict[str, float]) -> dict[str, float]:
    """CPU-seconds of every entry, from the CPU-seconds of every test."""
    entries = catalogue.entries()
    users = collections.defaultdict(list)
    for entry in entries:
        for test in entry.tests:
            if test.split("/")[1] in (entry.volume, "parity"):
                users[test].append(entry.name)
    seconds = dict.fromkeys((entry.name for entry in entries), 0.0)
    for test, cost in spent.items():
        file, group, *_ = test.split("::")
        named = group.removeprefix("Test__").replace("__", "/")
        shared = [named] if named in seconds else users[file]
        for name in shared:
            seconds[name] += cost / len(shared)
    return seconds


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    spent = config.stash.get(SPENT, {})
    seconds, total = by_entry(spent), sum(spent.values())
    over = over_budget(seconds)
    if len(spent) < 100 and not over:  # too few tests for a statement about the suite
        return
    write = terminalreporter.write_line
    write(f"CPU-seconds by entry ({total:.0f} in all)")
    for name, cost in sorted(seconds.items(), key=lambda pair: -pair[1]):
        if cost:
            write(f"  {cost:7.1f}  of {budget(catalogue.find(name)):.0f}  {name}")
    if over:
        write(f"over {MAY_EXCEED:g} times their budget: {', '.join(over)}")


def over_budget(seconds: dict[str, float]) -> list[str]:
    """Entries that cost more than their budget times MAY_EXCEED."""
    return [
        name for name, cost in seconds.items() if cost > MAY_EXCEED * budget(catalogue.find(name))
    ]
