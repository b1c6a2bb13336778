"""The same LSTM with forget gates that begin closed and open: over 50 steps its gradients vanish, or arrive.

Along the memory c alone a gradient is multiplied by the forget gate f = σ(b) at every step. With a bias of −3 that is
0.047, a third of a step, and f^50 = 10^-66; with +3 it is 0.95, or 21 steps, and 10^-1. The way through h carries some
more. The report measures what an error really tells the state 50 steps before it, and says what to change.
"""

import torch

from seqdyn import LSTM, stability_report
from seqdyn.dynamics import time_constant
from seqdyn.training.initialisation import forget_bias

LAG = 50


def main() -> None:
    x = torch.randn(8, 3 * LAG, 1, generator=torch.Generator().manual_seed(0))
    found = {}
    for bias in (-3.0, 3.0):
        cell = LSTM(1, 16, generator=torch.Generator().manual_seed(0))
        forget_bias(cell, bias)
        gate = torch.sigmoid(torch.tensor(bias, dtype=torch.float64))
        report = found[bias] = stability_report(cell, x, required_lag=LAG)
        alone = LAG * float(gate.log10())
        L, G = (report.content["verdict"][name]["median"] for name in ("gradient", "product"))
        print(f"bias {bias:+.0f}: f = {gate:.3f}, time constant {time_constant(gate):.2f} steps, f^50 = 10^{alone:.1f}")
        print(f"  {report.verdict} ({report.severity}): L = {L:.1f}, G = {G:.1f} decades at lag {LAG}")
        for advice in report.recommendations[:1]:
            print(f"  {advice}")

    closed, opened = (found[bias].content["verdict"] for bias in (-3.0, 3.0))
    assert (closed["name"], closed["severity"]) == ("VANISHING", "FAIL") and opened["name"] == "OK"
    assert -35 < closed["gradient"]["median"] < -25 and -1.5 < opened["gradient"]["median"] < 0.5
    assert "forget_bias(cell, 3.9)" in found[-3.0].recommendations[0]  # ln(1 / (e^{1/50} − 1))
    assert not found[-3.0].passed() and found[3.0].passed()


if __name__ == "__main__":
    main()
