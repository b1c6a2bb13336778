"""The space in which the poses of some clips lie: their moving columns, in principal components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import check_choice, check_count
from seqdyn.motion.clips import ROOT, STILL_DEVIATION, as_clip


@dataclass(frozen=True)
class PoseSpace:
    """Poses as a few numbers: s = Vᵀ (p − m) / d, p the columns that move and V their principal axes.

    Attributes
    ----------
    moving : array of int, shape (moving,)
        The columns outside the root that move.
    mean, scale : array, shape (moving,)
        m, rad, and d: the standard deviation, or 1.
    axes : array, shape (moving, components)
        V, of most variance first.
    width : int
        Columns of a clip.

    Examples
    --------
    >>> walk = 0.3 * np.sin(0.1 * np.arange(200)[:, None] + np.arange(9))
    >>> space = PoseSpace.fit([walk], components=2)
    >>> poses = space.poses(space.scores(walk[:50]), walk[0])
    >>> poses.shape, bool(np.allclose(poses[:, 6:], walk[:50, 6:]))
    ((50, 9), True)
    """

    moving: Array
    mean: Array
    scale: Array
    axes: Array
    width: int

    @classmethod
    def fit(cls, clips: Sequence[Any], components: int | None = None, standardise: bool = False) -> Self:
        """Learn the space of some clips.

        Parameters
        ----------
        clips : sequence of DataFrame or array, shape (frames, columns)
            Exponential maps, rad, the first six columns of the root.
        components : int, at least 1, or None
            How many principal axes; all if None.
        standardise : bool
            Divide every column by its standard deviation: a joint that moves little counts as much as any.

        Raises
        ------
        ValueError
            If clips have other columns, nothing moves, or there are more components than moving columns.
        """
        rows = np.concatenate(_alike(clips))
        moving = np.flatnonzero(rows.std(axis=0) >= STILL_DEVIATION)
        moving = moving[moving >= ROOT]
        count = len(moving) if components is None else check_count("components", components)
        if not 1 <= count <= min(len(moving), len(rows)):
            raise ValueError(f"components={count}, but {len(moving)} columns move in {len(rows)} frames.")
        poses = rows[:, moving]
        mean, scale = poses.mean(axis=0), np.ones(len(moving))
        if check_choice("standardise", standardise, (True, False)):
            scale = poses.std(axis=0)
        axes = np.linalg.svd((poses - mean) / scale, full_matrices=False)[2][:count].T
        return cls(moving, mean, scale, axes, rows.shape[1])

    @property
    def components(self) -> int:
        """How many numbers a pose is."""
        return int(self.axes.shape[1])

    def columns(self, frames: Any) -> Array:
        """The columns of frames (…, columns) that move, (…, moving)."""
        return self._wide(frames, "frames")[..., self.moving]

    def scores(self, frames: Any) -> Array:
        """Frames (…, columns) as scores s, (…, components)."""
        return (self.columns(frames) - self.mean) / self.scale @ self.axes

    def poses(self, scores: Any, last: Any) -> Array:
        """Scores as frames; all that lies outside of the space is taken from the last frame that was seen.

            p = p_last + d V (s − s_last)

        Parameters
        ----------
        scores : array, shape (…, frames, components)
        last : array, shape (…, columns)
            A whole frame: columns that do not move, the root, and what lies outside of the space are kept.

        Returns
        -------
        array, shape (…, frames, columns)
        """
        values, kept = np.asarray(scores, dtype=np.float64), self._wide(last, "last")[..., None, :]
        if values.ndim < 2 or values.shape[-1] != self.components:
            raise ValueError(f"scores has shape {values.shape}, expected (…, frames, {self.components}).")
        frames = np.repeat(kept, values.shape[-2], axis=-2)
        frames[..., self.moving] += (values - self.scores(kept)) @ self.axes.T * self.scale
        return frames

    def _wide(self, frames: Any, name: str) -> Array:
        values = np.asarray(frames, dtype=np.float64)
        if values.ndim < 1 or values.shape[-1] != self.width:
            raise ValueError(f"{name} has shape {values.shape}, expected {self.width} columns, as the clips have.")
        return values


def _alike(clips: Sequence[Any]) -> list[Array]:
    """Clips as arrays of the same columns."""
    if hasattr(clips, "columns") or isinstance(clips, np.ndarray) or not len(clips):
        raise ValueError(f"clips is a {type(clips).__name__}, expected a list of at least one clip: give [clip].")
    arrays = [as_clip(clip) for clip in clips]
    widths = {values.shape[1] for values in arrays}
    if len(widths) > 1:
        raise ValueError(f"clips have {sorted(widths)} columns: expected the same of all.")
    return arrays
