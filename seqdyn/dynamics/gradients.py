"""Gradients of errors with respect to earlier states, by lag, and what they contribute to the parameters.

    g^{(t)}_s = ∂E_t/∂h_s = ∂E_t/∂y_t B_t J_{t-1} … J_{s+1}        one error, by lag t − s
    δ_s       = Σ_{t>s} g^{(t)}_s                                   all errors, what backpropagation accumulates

δ_s holds the errors after s alone; an error E_s that y_s reads from h_s itself is not in it. The two coincide for one
error at the end only: :func:`gradient_by_lag` and :func:`accumulated_gradient` are kept apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.checks import check_count, is_int
from seqdyn.dynamics.trajectory import Stretch, Trajectory, rows_of
from seqdyn.facts import shown_by_facts, shown_by_shape
from seqdyn.state import State, flatten

if TYPE_CHECKING:
    from seqdyn.cell import Cell

OutputLoss = Callable[[Any], Tensor]
"""From outputs (batch, time, outputs), or a tree of such, to errors of any shape; they are summed.

E_t depends on y_t alone."""

LONGEST_GRADIENT_LAG = 2000
"""The longest lag that is followed unless asked for more."""


@shown_by_facts
@dataclass(frozen=True, repr=False)
class GradientByLag:
    """ln ‖∂E_t/∂h_{t-k}‖ for some errors E_t and every lag k.

    Attributes
    ----------
    anchors : Tensor of int64, shape (anchors,)
        The steps t whose errors were followed.
    lags : Tensor of int64, shape (lags,)
        1, 2, …: lag k is the state k steps before h_t, the one after step t − k. Lag 1 is the nearest an error sees
        in every model: y_t is read from x_t and h_{t-1}.
    log_norms : Tensor, shape (batch, anchors, lags)
        Natural logarithms; −inf where nothing arrives, NaN where the sequence had not begun.
    """

    anchors: Tensor
    lags: Tensor
    log_norms: Tensor

    def facts(self) -> dict[str, object]:
        """What a line or a small table shows: how many errors were followed, how far, and what the median is there."""
        last = float(self.quantiles((0.5,))[-1, 0]) if len(self.lags) else float("nan")
        return {"anchors": len(self.anchors), "lags": len(self.lags), "median_at_longest": f"e^{last:.4g}"}

    @property
    def relative(self) -> Tensor:
        """ln ‖g_{t-k}‖ / ‖g_{t-1}‖, shape (batch, anchors, lags); NaN for an error that has no gradient at all."""
        return self.log_norms - self.log_norms[..., :1]

    def quantiles(self, levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> Tensor:
        """Quantiles of the relative norms over sequences and anchors, shape (lags, levels)."""
        return known_quantiles(self.relative.flatten(0, 1), levels)


@shown_by_shape
class ParameterGradients(NamedTuple):
    """The gradient of every parameter, split by the lag between an error and the step that the parameter acted at.

    Attributes
    ----------
    edges : tuple of int
        Upper ends of the bands of lags: band j holds the lags above edge j − 1, up to edge j. Band 0 is lag 0: what a
        step does to its own error, without the memory.
    log_norms : dict of Tensor, shape (bands,)
        ln of the norm of each band's part of the gradient, by name.
    beyond : Tensor, shape (bands,)
        ‖Σ of the bands after j‖ / ‖Σ of all bands‖: what truncated BPTT of length edge j + 1 leaves out, relative to
        the whole gradient. Above 1 where the parts cancel.
    beyond_apart : Tensor, shape (bands,)
        Σ ‖bands after j‖ / Σ ‖all bands‖, in [0, 1]: the same where nothing can cancel.
    """

    edges: tuple[int, ...]
    log_norms: dict[str, Tensor]
    beyond: Tensor
    beyond_apart: Tensor


def gradient_by_lag(
    cell: Cell,
    x: Any,
    loss: OutputLoss,
    state: State | None = None,
    *,
    anchors: int | Sequence[int] = 32,
    longest: int | None = None,
) -> GradientByLag:
    """Follow single errors back in time: ∂E_t/∂h_{t-k} = ∂E_t/∂y_t B_t J_{t-1} … J_{t-k+1}.

    Parameters
    ----------
    cell : Cell
        Any of one tensor a step as its output; it is not changed.
    x : Tensor, shape (batch, time, *inputs), or a tree of such
    loss : callable
        ``loss(output)`` from (batch, time, outputs) to errors of any shape; each may depend on the output of its own
        step only. They are summed.
    state : State, optional
        h_{-1}; the cell's initial state if None.
    anchors : int or sequence of int
        The steps t to follow, or how many of them: evenly spread over the second half.
    longest : int, optional
        The longest lag, at least 1; 2000 if None. Lags beyond the beginning of the sequence are left out.

    Returns
    -------
    GradientByLag

    Raises
    ------
    ValueError
        If anchors lie outside the sequence, the longest lag is below 1, or the loss does not depend on the output.
    TypeError
        If the loss is no callable.

    Notes
    -----
    One sweep of vector–Jacobian products, O(anchors · time · n²), with the length of every vector kept as a logarithm:
    nothing under- or overflows. Jacobians are those of the float64 copy of the cell.

    References
    ----------
    Pascanu, Mikolov & Bengio (2013), On the difficulty of training recurrent neural networks, eqs. (3)–(5).

    Examples
    --------
    With h_t = h_{t-1}/2 + … every step back halves the gradient:

    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> average = ExponentialMovingAverage(1, gamma=0.5)
    >>> found = gradient_by_lag(average, torch.ones(1, 8, 1), lambda y: y**2, anchors=[7], longest=4)
    >>> found.relative[0, 0].exp()
    tensor([1.0000, 0.5000, 0.2500, 0.1250], dtype=torch.float64)
    """
    trajectory = Trajectory(cell, x, state)
    slopes = output_gradient(trajectory, loss).flatten(2)
    times = _anchors(anchors, trajectory.time)
    reach = _longest_lag(longest, trajectory.time)
    log_norms = slopes.new_full((trajectory.batch, len(times), reach), torch.nan)
    for stretch, _, logs in _sweep(trajectory, slopes, times, reach):
        lags = times - torch.arange(stretch.start - 1, stretch.stop - 1)[:, None]  # of h_{s-1}: (steps, anchors)
        step, anchor = ((lags >= 1) & (lags <= reach)).nonzero(as_tuple=True)
        log_norms[:, anchor, lags[step, anchor] - 1] = logs[:, step, anchor]
    return GradientByLag(times, torch.arange(1, reach + 1), log_norms)


def accumulated_gradient(cell: Cell, x: Any, loss: OutputLoss, state: State | None = None) -> Tensor:
    """ln ‖δ_{t-1}‖ at every step: the gradient that h_{t-1} receives from all errors from step t on.

        δ_{t-1} = δ_t J_t + ∂E_t/∂y_t B_t

    Parameters
    ----------
    cell, x, loss, state
        As in :func:`gradient_by_lag`.

    Returns
    -------
    Tensor, shape (batch, time)
        Natural logarithms; at t stands ln ‖δ_{t-1}‖.

    Notes
    -----
    δ_{t-1} holds the errors from t on, and not E_{t-1}: where y_{t-1} is read from h_{t-1} itself, that way is left
    out. :func:`~seqdyn.dynamics.state_gradients.steps_reached` and
    :func:`~seqdyn.dynamics.norm_preservation.omega` take δ_t = ∂C/∂h_t with it:
    they agree only where every y_t is read from x_t and h_{t-1}.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> average = ExponentialMovingAverage(1, gamma=0.5)
    >>> accumulated_gradient(average, torch.ones(1, 3, 1), lambda y: y).exp()
    tensor([[0.8750, 0.7500, 0.5000]], dtype=torch.float64)
    """
    trajectory = Trajectory(cell, x, state)
    slopes = output_gradient(trajectory, loss).flatten(2)
    found = slopes.new_empty(trajectory.batch, trajectory.time)
    row = slopes.new_zeros(trajectory.batch, 1, trajectory.width)
    log = slopes.new_full((trajectory.batch, 1), -torch.inf)
    for stretch in trajectory.backward():
        block = stretch.blocks()
        for t in reversed(range(stretch.start, stretch.stop)):
            own = slopes[:, t : t + 1] @ block.readout[:, t - stretch.start]
            row, log = summed(row @ block.transition[:, t - stretch.start], log, own)
            found[:, t] = log[:, 0]
    return found


def parameter_gradients(
    cell: Cell,
    x: Any,
    loss: OutputLoss,
    state: State | None = None,
    *,
    anchors: int | Sequence[int] = 32,
    edges: Sequence[int] | None = None,
) -> ParameterGradients:
    """Split the gradient of every parameter by lag: what truncated BPTT of length k leaves out.

        ∂E_t/∂θ = Σ_k ∂E_t/∂h_{t-k} ∂⁺h_{t-k}/∂θ, in bands of lags k

    Parameters
    ----------
    cell, x, loss, state, anchors
        As in :func:`gradient_by_lag`; the gradient is that of the sum of the anchors' errors.
    edges : sequence of int, optional
        Upper ends of the bands of lags, beginning with 0; 0, 1, 2, 4, 8, … if None. The last band ends at the
        beginning of the sequence.

    Returns
    -------
    ParameterGradients

    Notes
    -----
    ∂⁺ is the immediate derivative, with h_{t-k-1} held. The bands of all anchors meet in one vector a state before
    they are sent to the parameters, so the cost does not depend on the number of anchors.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.elman import Elman
    >>> found = parameter_gradients(Elman(1, 4), torch.ones(2, 40, 1), lambda y: y**2)
    >>> found.edges, bool((found.beyond_apart[1:] <= found.beyond_apart[:-1]).all())
    ((0, 1, 2, 4, 8, 16, 32, 39), True)
    """
    trajectory = Trajectory(cell, x, state)
    slopes = output_gradient(trajectory, loss).flatten(2)
    times = _anchors(anchors, trajectory.time)
    bands = _edges(edges, int(times.max()))
    parameters = {name: p.requires_grad_() for name, p in trajectory.cell.named_parameters()}
    if not parameters:
        raise ValueError(f"{type(cell).__name__} has no parameters: there is nothing for a gradient to reach.")
    scale = _log_scale(trajectory, slopes, times)
    total = torch.zeros(len(bands), sum(p.numel() for p in parameters.values()), dtype=torch.float64)
    for stretch, rows, logs in _sweep(trajectory, slopes, times, int(bands[-1])):
        lags = times - torch.arange(stretch.start, stretch.stop)[:, None]  # of h_s: (steps, anchors)
        by_state = rows[:, 1:] * (logs[:, 1:] - scale).exp().unsqueeze(3)
        direct = slopes[:, stretch.start : stretch.stop] * (lags == 0).any(1)[:, None] * torch.exp(-scale)
        total += _sent(stretch, list(parameters.values()), by_state, direct, torch.bucketize(lags, bands), len(bands))
    return _in_bands(total, parameters, bands, scale)


def summed(row: Tensor, log: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """e^log · row + own, (…, n), as a unit row and the logarithm of its length, without overflow."""
    own, size = _normalised(own, torch.zeros_like(log))
    common = torch.maximum(log, size)
    common = torch.where(common.isfinite(), common, 0)
    return _normalised(row * (log - common).exp().unsqueeze(-1) + own * (size - common).exp().unsqueeze(-1), common)


def output_gradient(trajectory: Trajectory, loss: OutputLoss) -> Tensor:
    """∂E_t/∂y_t along a trajectory, (batch, time, *outputs)."""
    output = torch.cat([stretch.output for stretch in trajectory.forward()], 1).requires_grad_()
    if not callable(loss):
        raise TypeError(f"loss must be a callable, loss(output) -> errors, got {type(loss).__name__} ({loss!r}).")
    with torch.enable_grad():
        error = loss(output)
    if not isinstance(error, Tensor) or not error.requires_grad:
        raise ValueError(f"loss(output) gave {type(error).__name__} without a gradient: compute it from the output.")
    (slopes,) = torch.autograd.grad(error.sum(), output)
    return slopes


def known_quantiles(values: Tensor, levels: Sequence[float]) -> Tensor:
    """Quantiles (columns, levels) over the rows of values (rows, columns): NaN is left out, −inf is a value."""
    if not len(values):
        return values.new_full((values.shape[1], len(levels)), torch.nan)
    ordered = values.sort(0).values  # NaN comes last
    last = ((~values.isnan()).sum(0) - 1).clamp(min=0)
    places = torch.tensor(levels, dtype=torch.float64, device=values.device)[:, None] * last
    below, above = ordered.gather(0, places.floor().long()), ordered.gather(0, places.ceil().long())
    share = places - places.floor()
    found = torch.where((share == 0) | (below == above), below, (1 - share) * below + share * above)
    return found.T.to(values.dtype)


def _anchors(anchors: int | Sequence[int], time: int) -> Tensor:
    if is_int(plain := _as_python(anchors)):
        check_count("anchors", plain)
        return torch.linspace(time // 2, time - 1, min(plain, time - time // 2)).round().long().unique()
    times = torch.tensor(_ints("anchors", anchors, "an int, how many, or a sequence of ints, the steps")).unique()
    if not len(times) or int(times.min()) < 0 or int(times.max()) >= time:
        raise ValueError(f"anchors must be steps from 0 to {time - 1}, got {times.tolist()}.")
    return times


def _longest_lag(longest: int | None, time: int) -> int:
    """How many lags are followed."""
    check_count("longest, the longest lag,", longest, others=(None,))
    return min(LONGEST_GRADIENT_LAG if longest is None else int(longest), time)


def _as_python(value: Any) -> Any:
    """Arrays, tensors and their numbers as Python's own."""
    return value.tolist() if hasattr(value, "tolist") else value


def _ints(name: str, values: Any, expected: str) -> list[int]:
    """A sequence of ints as Python's own, or an error."""
    given = [_as_python(value) for value in values] if isinstance(_as_python(values), Iterable) else None
    if given is None or not all(map(is_int, given)):
        raise ValueError(f"{name} must be {expected}; got {values!r}.")
    return [int(value) for value in given]


def _edges(edges: Sequence[int] | None, last: int) -> Tensor:
    """The upper ends of the bands, the last of them at the longest lag that leads into the sequence."""
    if edges is None:
        edges = [0, *(2**power for power in range(64) if 2**power < last)]
    given = _ints("edges", edges, "a sequence of ints, upper ends of bands of lags")
    if given[:1] != [0] or any(a >= b for a, b in pairwise(given)):
        raise ValueError(f"edges must increase from 0, got {given}.")
    return torch.tensor([*(edge for edge in given if edge < last), *([last] if last else []), *([] if last else [0])])


def _normalised(rows: Tensor, logs: Tensor) -> tuple[Tensor, Tensor]:
    """Unit rows (…, n) and the logarithm of their length, added to ``logs``; a zero row stays zero, with −inf."""
    peak = rows.abs().amax(-1, keepdim=True)  # squares of rows as they are may under- or overflow
    rows = rows / torch.where((peak > 0) & peak.isfinite(), peak, 1)
    norms = rows.norm(dim=-1, keepdim=True)
    unit = rows / torch.where(norms > 0, norms, 1)
    return unit, logs + torch.where(peak.isfinite(), peak.log() + norms.log(), norms.log()).squeeze(-1)


def log_lengths(rows: Tensor) -> Tensor:
    """ln ‖row‖ of rows (…, n), whatever their size; −inf for rows of no number."""
    sizes = rows.new_zeros(rows.shape[:-1])
    return _normalised(rows, sizes)[1] if rows.shape[-1] else sizes - torch.inf


def _sweep(
    trajectory: Trajectory, slopes: Tensor, times: Tensor, longest: int
) -> Iterator[tuple[Stretch, Tensor, Tensor]]:
    """Walk backward with one row ∂E_t/∂h_s an anchor t.

    Yields for every stretch the unit rows (batch, steps + 1, anchors, n) and the logs of their lengths (batch,
    steps + 1, anchors), at the states from the one before its first step to the one after its last.
    """
    rows = slopes.new_zeros(trajectory.batch, len(times), trajectory.width)
    logs = slopes.new_full((trajectory.batch, len(times)), -torch.inf)
    number = {t: index for index, t in enumerate(times.tolist())}
    for stretch in trajectory.backward():
        if stretch.start > int(times.max()):
            continue
        block, kept = stretch.blocks(), [(rows, logs)]
        for t in reversed(range(stretch.start, stretch.stop)):
            rows, logs = _normalised(rows @ block.transition[:, t - stretch.start], logs)
            if t in number:
                begun = (slopes[:, t, None] @ block.readout[:, t - stretch.start])[:, 0]
                rows[:, number[t]], logs[:, number[t]] = _normalised(begun, begun.new_zeros(len(begun)))
            kept.append((rows, logs))
        done = times - stretch.start >= longest  # nobody asks for their longer lags
        rows, logs = rows * ~done[:, None], torch.where(done, -torch.inf, logs)
        directions, lengths = zip(*reversed(kept), strict=True)
        yield stretch, torch.stack(directions, 1), torch.stack(lengths, 1)


def _log_scale(trajectory: Trajectory, slopes: Tensor, times: Tensor) -> Tensor:
    """The largest of all ln ‖g‖ and ln ‖∂E_t/∂y_t‖: divided by it nothing overflows."""
    logs = [part.max() for _, _, part in _sweep(trajectory, slopes, times, trajectory.time)]
    largest = torch.stack([*logs, log_lengths(slopes[:, times]).max()]).max()
    return largest.detach() if bool(largest.isfinite()) else torch.zeros_like(largest)


def _sent(
    stretch: Stretch, parameters: list[Tensor], by_state: Tensor, direct: Tensor, bands: Tensor, count: int
) -> Tensor:
    """What the states of a stretch contribute to the gradient of the parameters, (bands, numbers of parameters)."""
    with torch.enable_grad():
        output, after = stretch.cell(rows_of(stretch.x), rows_of(stretch.before))
        after = flatten(after)
    sent = []
    for band in range(count):
        if band == 0:
            through, seeds = output, direct.flatten(0, 1).view_as(output)
        else:
            through, seeds = after, (by_state * (bands == band)[:, :, None]).sum(2).flatten(0, 1)
        if not through.requires_grad or not bool(seeds.any()):
            sent.append(seeds.new_zeros(sum(parameter.numel() for parameter in parameters)))
            continue
        found = torch.autograd.grad(
            through, parameters, seeds, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        sent.append(torch.cat([slope.flatten() for slope in found]))
    return torch.stack(sent)


def _in_bands(total: Tensor, parameters: dict[str, Tensor], bands: Tensor, scale: Tensor) -> ParameterGradients:
    pieces = total.split([p.numel() for p in parameters.values()], 1)
    log_norms = {name: log_lengths(piece) + scale for name, piece in zip(parameters, pieces, strict=True)}
    logs = log_lengths(total)
    norms = (logs - logs.max()).exp()
    rest = log_lengths(torch.stack([total[band + 1 :].sum(0) for band in range(len(bands))]))
    beyond = (rest - log_lengths(total.sum(0))).exp()
    apart = torch.stack([norms[band + 1 :].sum() for band in range(len(bands))])
    return ParameterGradients(tuple(bands.tolist()), log_norms, beyond, apart / norms.sum())
