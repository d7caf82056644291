"""Monte Carlo tree search over a batch of states, as one compiled program.

A search takes the prior and value of the root states and a model, and returns an action, a training
target and the tree. The calls are those of mctx, whose recurrent functions work unchanged:

    root = RootFnOutput(prior_logits=logits_BA, value=value_B, embedding=state_B)

    def recurrent_fn(params, key, action_B, state_B):
        ...
        return RecurrentFnOutput(reward_B, discount_B, logits_BA, value_B), next_state_B

    output = muzero_policy(params, key, root, recurrent_fn, num_simulations=64)
    output.action, output.action_weights, output.tree.summary()

    muzero_policy          PUCT with Dirichlet noise at the root (Schrittwieser et al. 2020)
    gumbel_muzero_policy   sequential halving with Gumbel noise (Danihelka et al. 2022)
    uct_policy             UCB1 (Kocsis & Szepesvari 2006)

A discount of -1 alternates two players, and a discount of 0 marks a terminal state. A simulation
takes time proportional to the depth of its path: the statistics of an edge are stored once, at the
child, and are updated in place.
"""

from panorax.rl.search.policies import gumbel_muzero_policy, muzero_policy, uct_policy
from panorax.rl.search.qtransforms import (
    by_min_max,
    by_parent_and_siblings,
    completed_by_mix_value,
)
from panorax.rl.search.tree import PolicyOutput, RecurrentFnOutput, RootFnOutput, Tree

__all__ = [
    "PolicyOutput",
    "RecurrentFnOutput",
    "RootFnOutput",
    "Tree",
    "by_min_max",
    "by_parent_and_siblings",
    "completed_by_mix_value",
    "gumbel_muzero_policy",
    "muzero_policy",
    "uct_policy",
]
