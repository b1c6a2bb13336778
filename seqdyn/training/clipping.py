"""How long a gradient may be: a fixed norm, a quantile of the norms so far, or the shorter of both."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad


class Clipping:
    """The limit of every step: c_t = min(c, Q_q(‖g_1‖, …, ‖g_t‖)).

    Parameters
    ----------
    norm : float or None
        c; None: no fixed limit.
    quantile : float in (0, 1), or None
        q, of the norms of all steps so far, this one included; None: no such limit.
    seen : Tensor, shape (steps,), optional
        Norms of earlier steps, in increasing order.

    Attributes
    ----------
    seen : Tensor or None
        The norms so far, in increasing order, on their device; None without a quantile.

    Notes
    -----
    Nothing here waits for the device.

    References
    ----------
    Pascanu, Mikolov & Bengio (2013), On the difficulty of training recurrent neural networks, algorithm 1; Seetharaman
    et al. (2020), AutoClip: Adaptive gradient clipping for source separation networks.

    Examples
    --------
    >>> clipping = Clipping(None, 0.5)
    >>> [float(clipping.limit(torch.tensor(norm))) for norm in (4.0, 2.0, 9.0)]
    [4.0, 3.0, 4.0]
    """

    def __init__(self, norm: float | None, quantile: float | None = None, seen: Tensor | None = None):
        self.norm = math.inf if norm is None else norm
        self.quantile, self.seen = quantile, None if quantile is None else seen

    def limit(self, norm: Tensor) -> Tensor | float:
        """The longest a gradient of this norm may stay; infinite where there is no limit."""
        if self.quantile is None:
            return self.norm
        self.seen = norm.view(1) if self.seen is None else inserted(self.seen.to(norm), norm)
        return at_quantile(self.seen, self.quantile).clamp(max=self.norm)


def inserted(ordered: Tensor, value: Tensor) -> Tensor:
    """A sorted vector with one more number at its place.

    Examples
    --------
    >>> inserted(torch.tensor([1.0, 3.0]), torch.tensor(2.0))
    tensor([1., 2., 3.])
    """
    below, above = pad(ordered, (1, 0), value=-math.inf), pad(ordered, (0, 1), value=math.inf)
    return torch.maximum(below, torch.minimum(value, above))


def at_quantile(ordered: Tensor, quantile: float) -> Tensor:
    """The quantile of a sorted vector, linear between its numbers, as numpy's."""
    place = quantile * (len(ordered) - 1)
    low = math.floor(place)
    return torch.lerp(ordered[low], ordered[min(low + 1, len(ordered) - 1)], place - low)
