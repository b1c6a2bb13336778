"""How the free run depends on every entry of the model: exact, by the same recurrence with transposed matrices.

    ∂y_t/∂D = Σ_{s<t} (Dᵀ)^{t-1-s} Bᵀ h_{s-1}      ∂y_t/∂C = Σ_{s<t} (Dᵀ)^{t-1-s} Bᵀ x_s      ∂y_t/∂h_{-1} = (Dᵀ)^t Bᵀ

All three are states of the system h ← Dᵀ h + Bᵀ u: driven by the states, driven by the inputs, and let go from Bᵀ.
One triangular factor of these derivatives beside the errors is all that least squares needs, however long the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.identification.records import Group
from seqdyn.identification.system import LinearSystem
from seqdyn.kernels.linear import linear_recurrence

SENSITIVITIES_AT_ONCE = 2**21
"""Numbers in a block of derivatives."""

MATRICES = ("transition", "input_map", "readout", "feedthrough", "output_offset")
"""The entries of a model, in the order of their columns, each row by row."""


@dataclass(frozen=True)
class Equations:
    """The linearised least-squares problem: ‖R θ − z‖² in the entries of the model, the starts taken out.

    ``matrix`` R and ``target`` z: the step θ would make the errors smallest if the free run were linear in the entries.
    ``starts`` are (places, R11, R12, z1) of every group: the step of the starts is R11⁻¹ (z1 − R12 θ).
    """

    matrix: Array
    target: Array
    starts: list[tuple[list[int], Tensor, Tensor, Tensor]]

    def start_steps(self, step: Array, count: int, faintest: float = 0.0) -> Array:
        """The steps of the starts that go with a step of the entries, (records, order).

        None is made in directions whose whole effect on the outputs, for a start of length 1, is below ``faintest``.
        """
        order = self.starts[0][1].shape[1]
        steps = np.zeros((count, order))
        for places, own, shared, target in self.starts:
            wanted = target - shared @ torch.as_tensor(step)
            steps[places] = (torch.linalg.pinv(own, atol=faintest, rtol=1e-9) @ wanted[..., None])[..., 0].numpy()
        return steps


def equations(system: LinearSystem, groups: Sequence[Group], starts: Array, free_starts: bool) -> Equations:
    """Derivatives and errors of the free run over all records, as one small triangular problem.

    ``starts`` are h_{-1} of every record, (records, order), and unknown, too, where ``free_starts`` says so.
    """
    own = system.order if free_starts else 0
    entries = sum(np.size(getattr(system, name)) for name in MATRICES)
    shared = torch.zeros(0, entries + 1, dtype=torch.float64)
    solved = []
    for group in groups:
        upper = torch.zeros(len(group.places), 0, own + entries + 1, dtype=torch.float64)
        for rows in _derivatives(system, group, torch.as_tensor(starts[group.places])):
            upper = torch.linalg.qr(torch.cat([upper, rows[..., system.order - own :]], dim=1), mode="r").R
        upper = _filled_square(upper)
        solved.append((group.places, upper[:, :own, :own], upper[:, :own, own:-1], upper[:, :own, -1]))
        rest = upper[:, own:, own:].reshape(-1, entries + 1)
        shared = torch.linalg.qr(torch.cat([shared, rest]), mode="r").R
    shared = _filled_square(shared[None])[0]
    return Equations(shared[:entries, :entries].numpy(), shared[:entries, -1].numpy(), solved)


def every_row(system: LinearSystem, group: Group, starts: Array) -> Tensor:
    """All rows [∂ŷ/∂h_{-1}, ∂ŷ/∂entries, y − ŷ] times the root of their weight, (records, time, outputs, columns)."""
    parts = list(_derivatives(system, group, torch.as_tensor(starts)))
    return torch.stack([torch.cat(parts[output :: system.outputs], dim=1) for output in range(system.outputs)], dim=2)


def _filled_square(upper: Tensor) -> Tensor:
    """A triangular factor of fewer rows than columns, filled up with zeros."""
    return torch.nn.functional.pad(upper, (0, 0, 0, upper.shape[-1] - upper.shape[-2]))


def _derivatives(system: LinearSystem, group: Group, start: Tensor) -> Iterator[Tensor]:
    """Rows [∂ŷ/∂h_{-1}, ∂ŷ/∂entries, y − ŷ] times the root of their weight, output by output and chunk by chunk."""
    n, m, outputs = system.order, system.inputs, system.outputs
    D, B = torch.as_tensor(system.transition), torch.as_tensor(system.readout)
    records, time = group.x.shape[:2]
    length = max(1, SENSITIVITIES_AT_ONCE // (records * (n + m + 1) * max(1, n)))
    h = start
    adjoint = torch.zeros(outputs, records, n + m + 1, n, dtype=torch.float64)
    adjoint[:, :, -1] = B[:, None]
    for begin in range(0, time, length):
        x, y, weight = (values[:, begin : begin + length] for values in (group.x, group.y, group.weight))
        before, h = _states_before_steps(system, x, h)
        sources = torch.cat([before, x, x.new_zeros(*x.shape[:2], 1)], dim=-1)
        for output in range(outputs):
            moved, adjoint[output] = _adjoint_states(sources, adjoint[output], D, B[output])
            rows = _output_sensitivity(system, before, x, moved, output)
            root = weight[..., output : output + 1].sqrt()
            yield torch.cat([rows, y[..., output : output + 1] - _output(system, before, x, output)], dim=-1) * root


def _states_before_steps(system: LinearSystem, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """h_{t-1} for every t, and the last state."""
    input_map = torch.as_tensor(np.column_stack([system.input_map, system.state_offset]))
    return _states_and_end(
        torch.nn.functional.pad(x, (0, 1), value=1.0), h, input_map, torch.as_tensor(system.transition)
    )


def _adjoint_states(sources: Tensor, start: Tensor, D: Tensor, readout: Tensor) -> tuple[Tensor, Tensor]:
    """The states of h ← Dᵀ h + Bᵀ u before every step, for every source u: (records, time, sources, order)."""
    records, time, count = sources.shape
    drive = sources.transpose(1, 2).reshape(records * count, time, 1)
    moved, last = _states_and_end(drive, start.reshape(records * count, len(D)), readout[:, None], D.T)
    return moved.reshape(records, count, time, len(D)).transpose(1, 2), last.reshape(records, count, len(D))


def _states_and_end(x: Tensor, h: Tensor, input_map: Tensor, transition: Tensor) -> tuple[Tensor, Tensor]:
    """The states before every step of a system, as the outputs y_t = h_{t-1}, and the last state."""
    identity = torch.eye(len(transition), dtype=torch.float64)
    return linear_recurrence(x, h, torch.zeros_like(input_map), identity, input_map, transition)


def _output_sensitivity(system: LinearSystem, before: Tensor, x: Tensor, moved: Tensor, output: int) -> Tensor:
    """∂ŷ_c/∂[h_{-1}, D, C, B, A, y_0] at every step, for one output c."""
    n, m, outputs = system.order, system.inputs, system.outputs
    shape = before.shape[:2]
    one = torch.zeros(outputs, dtype=torch.float64)
    one[output] = 1.0
    of_transition = moved[..., :n, :].transpose(-1, -2).reshape(*shape, n * n)
    of_input_map = moved[..., n : n + m, :].transpose(-1, -2).reshape(*shape, n * m)
    of_readout = (one[:, None] * before[..., None, :]).reshape(*shape, outputs * n)
    of_feedthrough = (one[:, None] * x[..., None, :]).reshape(*shape, outputs * m)
    parts = [moved[..., -1, :], of_transition, of_input_map, of_readout, of_feedthrough, one.expand(*shape, outputs)]
    return torch.cat(parts, dim=-1)


def _output(system: LinearSystem, before: Tensor, x: Tensor, output: int) -> Tensor:
    """ŷ_c."""
    readout, feedthrough = torch.as_tensor(system.readout[output]), torch.as_tensor(system.feedthrough[output])
    return (before @ readout + x @ feedthrough + float(system.output_offset[output]))[..., None]
