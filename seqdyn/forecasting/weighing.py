"""Weights from past errors: variants of a member against each other, and members against members.

    S_iv = (1 − g_i) E_iv / E_i + g_i R_v                E_iv the past error of variant v on series i
    w_iv ∝ S_iv^(−16 c) over the best three of a member,  w_im ∝ π_m S_im^(−4 c) over members

E_i is the median of a series' errors, R_v the mean of E_iv / E_i over all series, and g_i = 5 / (5 + windows): a series
with few windows leans on what holds for all of them. c = W / (W + ½) with W the windows of all series together: where
little was tried, little is preferred.
"""

from __future__ import annotations

import numpy as np

from seqdyn.arrays import Array

LEANING = 5.0
"""Windows of its own at which a series counts as much as all of them together."""

BEST, SHARPNESS = 3, 16.0
"""How many variants of a member are mixed, and the power of their errors."""

POWER = 4.0
"""The power of the members' errors."""

HALF_TRUSTED = 0.5
"""Windows, of all series together, at which the powers are half as large."""

LEAST = 0.02
"""Weights below this share of the largest are dropped."""


def leaning(errors: Array, windows: Array) -> Array:
    """Errors of every variant and series, drawn towards what holds for all series: S, relative to each series' median.

    They are inf where a variant failed, NaN where a series has no past to test on.

    Examples
    --------
    >>> leaning(np.array([[1.0, 3.0], [2.0, 1.0]]), np.array([5.0, 5.0])).round(2)
    array([[0.88, 1.29],
           [1.12, 0.71]])
    """
    usual = np.ones(errors.shape[1])
    tested = ~np.isnan(errors).all(axis=0)
    if not tested.any():
        return np.ones_like(errors)
    usual[tested] = np.median(np.where(np.isfinite(errors), errors, 1e300)[:, tested], axis=0)
    ratio = errors / np.where(usual > 0, usual, 1.0)
    ratio = np.where(usual > 0, ratio, np.where(errors > 0, 100.0, 1.0))
    ratio = np.clip(np.nan_to_num(ratio, nan=1.0, posinf=100.0), 1e-6, 100.0)
    common = np.minimum(ratio[:, tested], 10.0).mean(axis=1, keepdims=True)
    share = LEANING / (LEANING + windows)
    found: Array = np.where(tested, (1 - share) * ratio + share * common, common)
    return found


def weights(scores: Array, members: Array, prior: Array, windows: float = np.inf) -> Array:
    """The weight of every variant in every series, (variants, series); columns sum to 1.

    ``members`` has the number of every variant's member, ``prior`` is π, and ``windows`` W.

    Examples
    --------
    >>> weights(np.array([[1.0], [2.0], [1.0]]), np.array([0, 0, 1]), np.ones(2)).round(2)
    array([[0.5],
           [0. ],
           [0.5]])
    """
    trust = windows / (windows + HALF_TRUSTED) if np.isfinite(windows) else 1.0
    found = np.zeros_like(scores)
    for member, own in enumerate(prior):
        rows = np.flatnonzero(members == member)
        if not len(rows):
            continue
        order = np.argsort(scores[rows], axis=0)[:BEST]
        best = np.take_along_axis(scores[rows], order, axis=0)
        share = (best / best[0]) ** (-SHARPNESS * trust)
        share /= share.sum(axis=0)
        error = (share * best).sum(axis=0)
        found[rows[order], np.arange(scores.shape[1])] = share * own * error ** (-POWER * trust)
    found[found < LEAST * found.max(axis=0)] = 0.0
    total: Array = found / found.sum(axis=0)
    return total
