"""The published score of human motion: 50 frames are seen and 25 predicted, with the true time of every frame.

The published protocol keeps every second frame and calls 25 of them a second. Frames of 120 Hz are then 60 Hz, and what
is published as 80, 160, 320, 400, 560 and 1000 ms is 33, 67, 133, 167, 233 and 417 ms. A model is anything that
continues a motion: ``predict(past) -> future``, (50, columns) to (25, columns), exponential maps in rad.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import check_count, is_number
from seqdyn.motion.clips import FUTURE, ROOT, STILL_DEVIATION, Windows, check_threes
from seqdyn.motion.rotations import euler_angles

if TYPE_CHECKING:
    import pandas as pd

Continuation = Callable[[Array], Any]

PUBLISHED = {1: 80, 3: 160, 7: 320, 9: 400, 13: 560, 24: 1000}
"""By the frame that is read, counted from 0: the milliseconds that are published for it."""


def euler_errors(predicted: Any, true: Any) -> Array:
    """Errors of predicted poses: e_t = sqrt(Σ_j (Ê_tj − E_tj)²), over the angles that move.

    Parameters
    ----------
    predicted, true : array, shape (windows, frames, columns)
        Exponential maps, rad; the first six columns are the root, which is not scored.

    Returns
    -------
    array, shape (windows, frames)
        In rad. Angles whose standard deviation over the true frames of a window is at most 1e-4 are left out.

    Raises
    ------
    ValueError
        If the shapes are not the same, or a value is NaN or infinite.

    Examples
    --------
    >>> true = np.zeros((1, 3, 9))
    >>> true[0, :, 6] = [0.1, 0.2, 0.3]
    >>> euler_errors(np.zeros((1, 3, 9)), true).round(3)
    array([[0.1, 0.2, 0.3]])
    """
    wanted, given = np.asarray(true, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if wanted.ndim != 3 or given.shape != wanted.shape:
        raise ValueError(
            f"predicted has shape {given.shape}, true {wanted.shape}: expected the same, (windows, frames, columns)."
        )
    check_threes(wanted.shape[2])
    angles, truth = (euler_angles(part.reshape(*part.shape[:2], -1, 3)).reshape(part.shape) for part in (given, wanted))
    moves = truth.std(axis=1, keepdims=True) > STILL_DEVIATION
    moves[..., :ROOT] = False
    return np.sqrt((moves * (angles - truth) ** 2).sum(axis=2))


def evaluate_continuations(
    models: Mapping[str, Continuation], windows: Windows, *, rate: float = 60.0, frames: Sequence[int] = (*PUBLISHED,)
) -> pd.DataFrame:
    """Score models that continue a motion: :func:`euler_errors` at some frames, the mean over the windows.

    Parameters
    ----------
    models : mapping of str to callable
        ``predict(past) -> future``, (50, columns) to (25, columns): exponential maps, rad.
    windows : Windows
        See :func:`~seqdyn.motion.clips.cut`.
    rate : float > 0
        Frames a second in the windows, Hz: 60 for every second frame of 120 Hz.
    frames : sequence of int
        Which frames are read, counted from 0.

    Returns
    -------
    DataFrame, shape (models, frames)
        In rad. The columns say the ``frame``, its ``true_ms``, milliseconds since the last frame that was seen, and the
        ``published_ms`` ("" where there are none).

    Raises
    ------
    ValueError
        If a model answers with another shape, or with NaN; the message names it.

    References
    ----------
    Martinez, Black & Romero (2017), On human motion prediction using recurrent neural networks.

    Examples
    --------
    >>> from seqdyn.motion.clips import cut, separate_starts
    >>> walk = 0.3 * np.sin(0.1 * np.arange(200)[:, None] + np.arange(9))
    >>> windows = cut(walk, separate_starts(200))
    >>> found = evaluate_continuations({"stands": lambda past: past[[-1] * 25]}, windows, frames=[1, 24])
    >>> found.columns.tolist(), found.loc["stands"].round(2).tolist()
    ([(1, 33, 80), (24, 417, 1000)], [0.07, 0.71])
    """
    import pandas as pd

    if not is_number(rate) or not rate > 0:
        raise ValueError(f"rate must be the frames a second, a positive number, got {rate!r}.")
    read = [check_count("frames", frame, 0) for frame in frames]
    if not read or max(read) >= FUTURE:
        raise ValueError(f"frames holds {max(read, default='nothing')}, but {FUTURE} are predicted: 0 to {FUTURE - 1}.")
    errors = [euler_errors(_answers(name, model, windows), windows.future) for name, model in models.items()]
    scores = [error.mean(axis=0)[read] for error in errors]
    names = [(frame, round(1000 * (frame + 1) / rate), PUBLISHED.get(frame, "")) for frame in read]
    columns = pd.MultiIndex.from_tuples(names, names=["frame", "true_ms", "published_ms"])
    return pd.DataFrame(scores, index=pd.Index(models, name="model"), columns=columns)


def _answers(name: str, model: Continuation, windows: Windows) -> Array:
    """The answers of a model to all windows."""
    answers = []
    for past, future in zip(*windows, strict=True):
        answer = np.asarray(model(past.copy()), dtype=np.float64)
        if answer.shape != future.shape or not np.isfinite(answer).all():
            what = f"shape {answer.shape}" if answer.shape != future.shape else "NaN or infinity"
            raise ValueError(
                f"The model {name!r} gives {what}, expected finite {future.shape} from a past {past.shape}."
            )
        answers.append(answer)
    return np.stack(answers)
