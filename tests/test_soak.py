"""Memory and open files do not grow in a long run of a small system."""

import dataclasses
import os
import resource

from panorax.configs.generative import flow_matching_2d

from panorax.core.config import Run
from panorax.engine import run
from panorax.generative import flow_matching


def in_use():
    """Resident bytes and number of open files of this process."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return pages * resource.getpagesize(), len(os.listdir("/proc/self/fd"))


def test_thirty_thousand_steps_with_checkpoints_and_evaluations(tmp_path):
    system, usage = flow_matching.system(flow_matching_2d.smoke()), {}

    def batches(step):
        if step % 2000 == 0:
            usage[step] = in_use()
        return system.batches(step)

    observed = dataclasses.replace(system, batches=batches)
    run.train(observed, Run(steps=30_000, chunk=100, eval_every=1000, save_every=1000), tmp_path)
    memory, files = zip(*(usage[step] for step in range(10_000, 30_000, 2000)))
    assert max(files[5:]) <= max(files[:5]) + 8, files  # threads that save open files for a while
    assert memory[-1] - memory[0] < 24 * 2**20, [m // 2**20 for m in memory]
