"""Tabular temporal-difference learning: convergence, maximisation bias, cliff walking, random walk.

Papers: Watkins & Dayan 1992; Rummery & Niranjan 1994; van Hasselt 2010; van Seijen et al. 2009;
Sutton & Barto 2018.
Command: panorax run rl/q_learning
"""

from panorax.core.claims import Claim
from panorax.rl.q_learning.study import Config

CLAIMS = (
    Claim(
        "fall_q_learning_0.8",
        "<",
        0.5,
        "Watkins & Dayan 1992: with step sizes n^-0.8, Q-learning converges to Q*; ten times "
        "the steps more than halve the largest error",
    ),
    Claim(
        "error_q_learning_0.6",
        "<",
        "error_q_learning_0.8",
        "Even-Dar & Mansour 2003: Q-learning with step sizes n^-0.6 converges faster than "
        "with n^-0.8 at a discount of 0.9",
    ),
    Claim(
        "error_q_learning_0.8",
        "<",
        "error_q_learning_1",
        "Even-Dar & Mansour 2003: Q-learning with polynomial step sizes converges faster than"
        " with 1 / n",
    ),
    Claim(
        "fall_q_learning_constant",
        ">",
        0.8,
        "Robbins & Monro 1951: with a constant step size the error of Q-learning stops falling",
    ),
    Claim(
        "fall_double_q",
        "<",
        0.7,
        "van Hasselt 2010: double Q-learning converges to Q*",
    ),
    Claim(
        "fall_sarsa_greedy_in_the_limit",
        "<",
        0.7,
        "Singh et al. 2000: SARSA converges to Q* if it becomes greedy in the limit and "
        "explores forever",
    ),
    Claim(
        "fall_sarsa",
        "<",
        0.5,
        "Singh et al. 2000: with a fixed epsilon, SARSA converges to the best epsilon-soft Q",
    ),
    Claim(
        "fall_expected_sarsa",
        "<",
        0.5,
        "Singh et al. 2000: with a fixed epsilon, expected SARSA converges to the best "
        "epsilon-soft Q",
    ),
    Claim(
        "fall_n_step_sarsa",
        "<",
        0.5,
        "Singh et al. 2000: with a fixed epsilon, n-step SARSA converges to the best epsilon-"
        "soft Q",
    ),
    Claim(
        "fall_sarsa_lambda",
        "<",
        0.5,
        "Singh et al. 2000: with a fixed epsilon, SARSA(lambda) converges to the best "
        "epsilon-soft Q",
    ),
    Claim(
        "error_n_step_sarsa",
        "<",
        "error_sarsa",
        "Sutton & Barto 2018, section 7.2: four-step SARSA learns faster than one-step SARSA",
    ),
    Claim(
        "left_share_peak_q_learning",
        ">",
        0.8,
        "Sutton & Barto 2018, figure 6.5: Q-learning first prefers the worse action because "
        "of its maximisation bias",
    ),
    Claim(
        "left_share_double_q",
        "<",
        "left_share_q_learning",
        "Sutton & Barto 2018, figure 6.5: double Q-learning chooses the worse action less "
        "often than Q-learning",
    ),
    Claim(
        "left_share_peak_double_q",
        "<=",
        0.55,
        "Sutton & Barto 2018, figure 6.5: double Q-learning never prefers the worse action",
    ),
    Claim(
        "left_share_last_double_q_high",
        "<",
        "left_share_last_q_learning_low",
        "van Hasselt 2010: after 300 episodes double Q-learning is closer to the optimal 5% "
        "than Q-learning (95% intervals)",
    ),
    Claim(
        "left_share_last_double_q",
        "<",
        0.08,
        "Sutton & Barto 2018, figure 6.5: double Q-learning ends near the optimal 5% of worse"
        " actions",
    ),
    Claim(
        "median_path_q_learning",
        "==",
        13.0,
        "Sutton & Barto 2018, example 6.6: Q-learning learns the shortest path along the cliff",
    ),
    Claim(
        "median_path_sarsa",
        ">=",
        15.0,
        "Sutton & Barto 2018, example 6.6: SARSA learns a longer path away from the cliff",
    ),
    Claim(
        "return_q_learning_high",
        "<",
        "return_sarsa_low",
        "Sutton & Barto 2018, example 6.6: SARSA earns more than Q-learning while both "
        "explore (95% intervals)",
    ),
    Claim(
        "return_sarsa",
        ">=",
        -30.0,
        "Sutton & Barto 2018, example 6.6: SARSA earns about -25 per episode while it explores",
    ),
    Claim(
        "return_q_learning",
        "<=",
        -45.0,
        "Sutton & Barto 2018, example 6.6: Q-learning earns about -50 per episode while it "
        "explores",
    ),
    Claim(
        "exact_return_optimal",
        "<",
        "exact_return_soft_optimal",
        "Panorax: solved exactly, the shortest path earns less than the safe path if a tenth "
        "of the actions is random",
    ),
    Claim(
        "interim_return_expected_sarsa_last",
        ">",
        "interim_return_sarsa",
        "van Seijen et al. 2009: expected SARSA with the step size 1 earns more than SARSA "
        "with its best step size",
    ),
    Claim(
        "rms_n_best_high",
        "<",
        "rms_n_first_low",
        "Sutton & Barto 2018, figure 7.2: n-step TD with the best n beats one-step TD (95% "
        "intervals)",
    ),
    Claim(
        "rms_n_best_high",
        "<",
        "rms_n_last_low",
        "Sutton & Barto 2018, figure 7.2: n-step TD with the best n beats the largest n (95% "
        "intervals)",
    ),
    Claim(
        "best_n",
        "==",
        4.0,
        "Sutton & Barto 2018, figure 7.2: the best n of the random walk is 4",
    ),
    Claim(
        "rms_td_lambda_best_high",
        "<",
        "rms_td_lambda_first_low",
        "Sutton & Barto 2018, section 12.2: TD(lambda) with the best lambda beats TD(0) (95% "
        "intervals)",
    ),
    Claim(
        "rms_td_lambda_best_high",
        "<",
        "rms_td_lambda_last_low",
        "Sutton & Barto 2018, section 12.2: TD(lambda) with the best lambda beats Monte "
        "Carlo, lambda = 1 (95% intervals)",
    ),
    Claim(
        "best_true_online",
        "<",
        0.95,
        "Sutton & Barto 2018, figure 12.3: an intermediate lambda is best",
    ),
    Claim(
        "rms_true_online_best",
        "<",
        "rms_td_lambda_best",
        "van Seijen et al. 2016: true online TD(lambda) has a smaller error than TD(lambda)",
    ),
)
ORACLE = "exact action values of panorax.maths.mdp, forward views in NumPy"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        states=4,
        powers=(0.6, 0.8),
        chunks=2,
        chunk=5,
        seeds=2,
        bias_runs=3,
        bias_episodes=4,
        cliff_runs=2,
        cliff_episodes=3,
        cliff_alphas=(0.5,),
        interim=2,
        walk_runs=2,
        walk_episodes=2,
        walk_alphas=(0.4,),
        horizons=(1,),
        lambdas=(0.0, 0.8),
    )
