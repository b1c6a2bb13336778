"""Baselines for models that continue a motion: the last pose, the last step, a linear model, the nearest past.

Each is a callable ``(50, columns) -> (25, columns)``, as :func:`~seqdyn.motion.human.evaluate_continuations` takes it.
On walking, a linear model of the poses and a look-up do as well as published networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import check_count, is_number
from seqdyn.motion.clips import FUTURE, PAST, as_clip, cut, halve
from seqdyn.motion.human import Continuation, evaluate_continuations
from seqdyn.motion.pose_space import PoseSpace
from seqdyn.progress import Callback, track

if TYPE_CHECKING:
    import pandas as pd


def zero_velocity(past: Any) -> Array:
    """The last pose, again and again: p_{t+k} = p_t. Hard to beat a few frames ahead.

    Parameters
    ----------
    past : array, shape (frames, columns)

    Returns
    -------
    array, shape (25, columns)

    References
    ----------
    Martinez, Black & Romero (2017), On human motion prediction using recurrent neural networks, section 4.2.

    Examples
    --------
    >>> zero_velocity(np.arange(18.0).reshape(2, 9))[24, :3]
    array([ 9., 10., 11.])
    """
    return np.repeat(as_clip(past)[-1:], FUTURE, axis=0)


def constant_velocity(past: Any) -> Array:
    """The last step, again and again: p_{t+k} = p_t + k (p_t − p_{t−1}).

    Parameters
    ----------
    past : array, shape (frames, columns), at least two frames

    Returns
    -------
    array, shape (25, columns)

    Examples
    --------
    >>> constant_velocity(np.arange(18.0).reshape(2, 9))[1, :3]
    array([27., 28., 29.])
    """
    values = as_clip(past)
    check_count("frames", len(values), 2, why="a velocity is that of the last two")
    return values[-1] + np.arange(1, FUTURE + 1)[:, None] * (values[-1] - values[-2])


@dataclass
class RidgeAutoregression:
    """A linear model of the poses: s_{t+1} − s_t = b + Σ_k W_k s_{t−k}, s the principal components.

    W minimises Σ ‖error‖² + λ ‖W‖²; b is free. What a pose has outside of the components stays as it was last seen.

    Parameters
    ----------
    components : int, at least 1
    lags : int from 1 to 50
    penalty : float, at least 0
        λ, in rad², or without a unit when standardised.
    standardise : bool
        Divide every column by its standard deviation.

    References
    ----------
    Hoerl & Kennard (1970), Ridge Regression.

    Examples
    --------
    >>> walk = 0.3 * np.sin(0.1 * np.arange(400)[:, None] + np.arange(9))
    >>> model = RidgeAutoregression(components=2, lags=2, penalty=1e-9).fit([walk])
    >>> bool(np.allclose(model(walk[100:200:2])[:, 6:], walk[200:250:2, 6:], atol=1e-4))
    True
    """

    components: int = 20
    lags: int = 10
    penalty: float = 300.0
    standardise: bool = False
    space_: PoseSpace = field(init=False, repr=False)
    weights_: Array = field(init=False, repr=False)
    level_: Array = field(init=False, repr=False)

    def fit(self, clips: Sequence[Any]) -> Self:
        """Learn from clips (frames, columns) at their whole rate; both halves of each are seen."""
        if check_count("lags", self.lags) > PAST:
            raise ValueError(f"lags={self.lags}, but {PAST} frames are seen.")
        if not is_number(self.penalty) or not self.penalty >= 0:
            raise ValueError(f"penalty must be a number of at least 0, got {self.penalty!r}.")
        self.space_ = PoseSpace.fit(clips, self.components, self.standardise)
        scores = [self.space_.scores(half) for half in _halves(clips)]
        if max(map(len, scores)) <= self.lags:
            raise ValueError(f"lags={self.lags}, but no clip has more than {max(map(len, scores))} frames in its half.")
        pairs = [self._pairs(half) for half in scores if len(half) > self.lags]
        seen, change = (np.concatenate(part) for part in zip(*pairs, strict=True))
        middle, level = seen.mean(axis=0), change.mean(axis=0)
        centred = np.concatenate([seen - middle, np.sqrt(self.penalty) * np.eye(seen.shape[1])])
        wanted = np.concatenate([change - level, np.zeros((seen.shape[1], change.shape[1]))])
        self.weights_ = np.linalg.lstsq(centred, wanted)[0]
        self.level_ = level - middle @ self.weights_
        return self

    def __call__(self, past: Any) -> Array:
        """Continue a motion (frames, columns) by 25 frames."""
        if "weights_" not in vars(self):
            raise ValueError("This RidgeAutoregression is not fitted: call fit(clips) first.")
        values = as_clip(past)
        check_count("frames", len(values), self.lags, why="these are the lags")
        line = self.space_.scores(values)[::-1][: self.lags]
        free = []
        for _ in range(FUTURE):
            free.append(line[0] + self.level_ + line.ravel() @ self.weights_)
            line = np.concatenate([free[-1][None], line[:-1]])
        return self.space_.poses(np.array(free), values[-1])

    def _pairs(self, scores: Array) -> tuple[Array, Array]:
        """Stacked lags, the newest first, and the change that follows."""
        count = len(scores) - self.lags
        lags = [scores[self.lags - 1 - k : self.lags - 1 - k + count] for k in range(self.lags)]
        return np.concatenate(lags, axis=1), scores[self.lags :] - scores[self.lags - 1 : -1]


@dataclass
class NearestContinuation:
    """The look-up: find where the training was nearest, and move as it moved there.

    p_{t+k} = p_t + q_{u+k} − q_u, u = argmin Σ_{j<frames} ‖(p_{t−j} − q_{u−j}) / d‖², q the training and d its standard
    deviations.

    Parameters
    ----------
    frames : int from 1 to 50
        How many of the last frames are compared.

    Examples
    --------
    >>> walk = 0.3 * np.sin(np.pi / 50 * np.arange(400)[:, None] + np.arange(9))
    >>> model = NearestContinuation().fit([walk])
    >>> bool(np.allclose(model(walk[200:300:2])[:, 6:], walk[300:350:2, 6:]))
    True
    """

    frames: int = 5
    space_: PoseSpace = field(init=False, repr=False)
    segments_: Array = field(init=False, repr=False)

    def fit(self, clips: Sequence[Any]) -> Self:
        """Keep all segments of clips (frames, columns) at their whole rate; both halves of each are seen."""
        if check_count("frames", self.frames) > PAST:
            raise ValueError(f"frames={self.frames}, but {PAST} frames are seen.")
        self.space_ = PoseSpace.fit(clips, standardise=True)
        length = self.frames + FUTURE
        halves = [self.space_.columns(half) for half in _halves(clips) if len(half) >= length]
        if not halves:
            raise ValueError(f"No clip has {length} frames in its half, the {self.frames} compared and {FUTURE} after.")
        cuts = [np.lib.stride_tricks.sliding_window_view(half, length, axis=0) for half in halves]
        self.segments_ = np.concatenate(cuts).transpose(0, 2, 1)
        return self

    def __call__(self, past: Any) -> Array:
        """Continue a motion (frames, columns) by 25 frames."""
        if "segments_" not in vars(self):
            raise ValueError("This NearestContinuation is not fitted: call fit(clips) first.")
        values = as_clip(past)
        check_count("frames", len(values), self.frames, why="these are compared")
        near = values[-self.frames :]
        gaps = (self.segments_[:, : self.frames] - self.space_.columns(near)) / self.space_.scale
        nearest = self.segments_[np.square(gaps).sum(axis=(1, 2)).argmin()]
        future = zero_velocity(values)
        future[:, self.space_.moving] += nearest[self.frames :] - nearest[self.frames - 1]
        return future


def leave_one_clip_out(
    candidates: Mapping[str, Callable[[list[Any]], Continuation]],
    clips: Sequence[Any],
    *,
    every: int = 5,
    verbose: bool | int = 0,
    callback: Callback | None = None,
) -> pd.DataFrame:
    """Choose among models without the test clip: each clip in turn is continued by what was learnt from the others.

    Parameters
    ----------
    candidates : mapping of str to callable
        ``learn(clips) -> predict``.
    clips : sequence of DataFrame or array, shape (frames, columns)
        At least two, at their whole rate.
    every : int, at least 1
        A window of the clip that is left out begins at every so many frames of its first half.
    verbose : bool or int
        1 or more shows a bar over the clips.
    callback : callable, optional
        ``callback(Progress)`` after every clip; a true answer leaves the other clips out.

    Returns
    -------
    DataFrame, shape (candidates, frames)
        The mean over the clips, each counting the same, as
        :func:`~seqdyn.motion.human.evaluate_continuations` gives it for one.

    Examples
    --------
    >>> walks = [0.3 * np.sin(0.1 * np.arange(200)[:, None] + np.arange(9) + k) for k in range(3)]
    >>> candidates = {"stands": lambda clips: zero_velocity, "looks up": NearestContinuation(5).fit}
    >>> found = leave_one_clip_out(candidates, walks)
    >>> bool((found.loc["looks up"] < found.loc["stands"]).all())
    True
    """
    if len(clips) < 2:
        raise ValueError(f"clips holds {len(clips)}: one is left out, and at least one has to be left to learn from.")
    check_count("every", every)
    tables = []
    for number in track(range(len(clips)), "leave one out", "clip", verbose=verbose, callback=callback):
        others = [other for place, other in enumerate(clips) if place != number]
        models = {name: learn(others) for name, learn in candidates.items()}
        frames = halve(clips[number])
        tables.append(evaluate_continuations(models, cut(frames, range(0, len(frames) - PAST - FUTURE + 1, every))))
    return sum(tables[1:], start=tables[0]) / len(tables)


def _halves(clips: Sequence[Any]) -> list[Array]:
    """Both halves of every clip."""
    return [halve(clip, phase) for clip in clips for phase in (0, 1)]
