"""General advice by verdict, where no rule has any: a verdict other than PASS always comes with advice."""

from __future__ import annotations

from seqdyn.reports.advice import Recommendation

GENERAL_ADVICE = {
    "VANISHING": (
        "GS002",
        "Keep the state from step to step: add to it, h_t = h_{t-1} + …, or multiply it by a gate near 1, as "
        "`seqdyn.LSTM` and `seqdyn.GRU` do. Too little of it is left after {lag} now.",
    ),
    "EXPLODING": (
        "GS003",
        "Make the factors of the state in every step smaller, such as the recurrent weights: their effect on the "
        "state and its gradient grows over {lag}.",
    ),
    "MIXED": (
        "GS007",
        "Examine the sequences one by one: over {lag} the gradients of some vanish while those of others explode. "
        "Bring the inputs to the same scale first.",
    ),
    "TRANSIENT": (
        "GS008",
        "Do not let any step stretch the state much in any direction: disturbances grow first and decay within {lag}.",
    ),
    "NOT FINITE": (
        "GS001",
        "Begin from a finite state, look for a logarithm, a root or a division in the step, and keep its argument "
        "where it is defined.",
    ),
    "UNREACHED": (
        "GS006",
        "Look for what separates the errors from the state {lag} before: weights of 0, units that are always 0, or a "
        "`detach()` in the step.",
    ),
    "INCONCLUSIVE": (
        "GS006",
        "Give more data, or a `required_lag` below {lag}: these data do not decide.",
    ),
    "STOPPED": ("GS006", "Let the report run to its end: the gradient over {lag} was not measured."),
}
"""By verdict: the check behind the advice, and its text."""


def general_advice(verdict: str, lag: str) -> Recommendation:
    """General advice about a verdict.

    Parameters
    ----------
    verdict : str
        A verdict that is not a PASS.
    lag : str
        The required lag in words.

    Examples
    --------
    >>> general_advice("INCONCLUSIVE", "50 steps").text
    'Give more data, or a `required_lag` below 50 steps: these data do not decide.'
    >>> general_advice("VANISHING", "50 steps").check
    'GS002'
    """
    check, text = GENERAL_ADVICE.get(verdict, GENERAL_ADVICE["INCONCLUSIVE"])
    return Recommendation("R21", text.replace("{lag}", lag), None, "", check)
