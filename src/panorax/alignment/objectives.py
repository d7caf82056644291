"""Objectives of preference optimisation, of which a config chooses one.

An objective has `losses(scores)`, a loss per pair, `beta`, the weight of its implicit reward, and
two constants: `reads_reference`, and `reads_mismatched` for answers to other prompts.
`panorax.ops.preferences` has the equations.
"""

from typing import NamedTuple

from jaxtyping import Array, Float

from panorax.core.ranges import NonNegative, Positive, Share, checked
from panorax.ops import preferences


class Scores(NamedTuple):
    """Log-probabilities of the answers of B pairs, summed over tokens, (B,)."""

    chosen: Float[Array, " B"]
    rejected: Float[Array, " B"]
    ref_chosen: Float[Array, " B"]
    """log-probabilities under the reference; 0 for an objective without one"""
    ref_rejected: Float[Array, " B"]
    chosen_length: Float[Array, " B"]
    """tokens of the answers, at least 1"""
    rejected_length: Float[Array, " B"]
    mismatched: Float[Array, " B"] | None
    """log ratios of answers to other prompts; None unless the objective reads them"""

    def ratios(self) -> tuple[Float[Array, " B"], Float[Array, " B"]]:
        """Log ratios of the chosen and the rejected answers, summed over tokens."""
        return self.chosen - self.ref_chosen, self.rejected - self.ref_rejected

    def averaged(self, chosen, rejected):
        """Sums over tokens as averages over tokens."""
        return chosen / self.chosen_length, rejected / self.rejected_length


@checked
class DPO:
    """Direct preference optimisation: log ratios are summed (Rafailov et al. 2023)."""

    reads_reference, reads_mismatched = True, False
    beta: Positive = 0.1
    """weight of the implicit reward beta log pi / pi_ref, and of the KL that it regularises"""
    smoothing: Share = 0.0
    """probability that a preference is labelled the wrong way round"""

    def losses(self, scores: Scores) -> Float[Array, " B"]:
        return preferences.dpo_loss(*scores.ratios(), self.beta, self.smoothing)


@checked
class IPO:
    """Identity preference optimisation: log ratios are averaged (Azar et al. 2023)."""

    reads_reference, reads_mismatched = True, False
    beta: Positive = 0.1
    """regularisation; the difference of log ratios goes to 1 / (2 beta)"""

    def losses(self, scores: Scores) -> Float[Array, " B"]:
        return preferences.ipo_loss(*scores.averaged(*scores.ratios()), self.beta)


@checked
class KTO:
    """Kahneman-Tversky optimisation: answers count one by one (Ethayarajh et al. 2024)."""

    reads_reference, reads_mismatched = True, True
    beta: Positive = 0.1
    """weight of the implicit reward"""
    desirable: NonNegative = 1.0
    """weight of the loss of chosen answers"""
    undesirable: NonNegative = 1.0
    """weight of the loss of rejected answers"""

    def losses(self, scores: Scores) -> Float[Array, " B"]:
        kl = preferences.mismatched_kl(scores.mismatched)
        chosen, rejected = scores.ratios()
        good = preferences.kto_loss(chosen, kl, True, self.beta)
        bad = preferences.kto_loss(rejected, kl, False, self.beta)
        return 0.5 * (self.desirable * good + self.undesirable * bad)


@checked
class ORPO:
    """Odds ratio preference optimisation, without a reference (Hong et al. 2024)."""

    reads_reference, reads_mismatched = False, False
    beta: Positive = 0.1
    """weight of the odds ratio beside the supervised loss of the chosen answers"""

    def losses(self, scores: Scores) -> Float[Array, " B"]:
        return preferences.orpo_loss(*scores.averaged(scores.chosen, scores.rejected), self.beta)


@checked
class SimPO:
    """Simple preference optimisation, without a reference (Meng et al. 2024)."""

    reads_reference, reads_mismatched = False, False
    beta: Positive = 2.0
    """weight of the average log-probability of a token"""
    margin: NonNegative = 1.0
    """difference of rewards that the loss asks for [gamma]"""

    def losses(self, scores: Scores) -> Float[Array, " B"]:
        averages = scores.averaged(scores.chosen, scores.rejected)
        return preferences.simpo_loss(*averages, self.beta, self.margin)


Objective = DPO | IPO | KTO | ORPO | SimPO
