"""What is said where no rule has advice: no verdict that is not a PASS comes with an empty list."""

from __future__ import annotations

from seqdyn.reports.advice import Recommendation

LAST = {
    "VANISHING": (
        "GS002",
        "Let the state be held from step to step: add to it, h_t = h_{t-1} + …, or multiply it by a gate near 1, as "
        "`seqdyn.LSTM` and `seqdyn.GRU` do; now too little of it is left after {lag}.",
    ),
    "EXPLODING": (
        "GS003",
        "Make smaller what the state is multiplied by at every step, such as the recurrent weights: what it does to "
        "the state and its gradient grows over {lag}.",
    ),
    "MIXED": (
        "GS007",
        "Look at the sequences apart: over {lag} gradients of some vanish while those of others explode. Bring inputs "
        "to the same scale first.",
    ),
    "TRANSIENT": (
        "GS008",
        "Let no direction of the state be stretched much at any one step: what grows now decays again within {lag}.",
    ),
    "NOT FINITE": (
        "GS001",
        "Begin from a finite state, and look for a logarithm, a root or a division in the step, and keep what goes "
        "into it where it is defined.",
    ),
    "UNREACHED": (
        "GS006",
        "Look for what cuts the errors off from the state {lag} before: weights of 0, units that are always 0, or a "
        "`detach()` in the step.",
    ),
    "INCONCLUSIVE": (
        "GS006",
        "Give more data, or a `required_lag` below {lag}: what there is does not decide.",
    ),
}
"""By verdict: the check behind the advice, and its text."""


def last_advice(verdict: str, lag: str) -> Recommendation:
    """What to do about a verdict in general.

    Parameters
    ----------
    verdict : str
        Not one that is a PASS.
    lag : str
        The required lag in words.

    Examples
    --------
    >>> last_advice("INCONCLUSIVE", "50 steps").text
    'Give more data, or a `required_lag` below 50 steps: what there is does not decide.'
    >>> last_advice("VANISHING", "50 steps").check
    'GS002'
    """
    check, text = LAST.get(verdict, LAST["INCONCLUSIVE"])
    return Recommendation("R21", text.replace("{lag}", lag), None, "", check)
