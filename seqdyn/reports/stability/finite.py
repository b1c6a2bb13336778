"""What is not finite, and where."""

from __future__ import annotations

from seqdyn.dynamics.trajectory import Trajectory
from seqdyn.reports.stability.subject import Subject


def broken(subject: Subject) -> str | None:
    """What along the trajectory is not finite, and from which step on."""
    for stretch in Trajectory(subject.cell, subject.x, subject.state).forward():
        for name, values in (("states", stretch.states()), ("outputs", stretch.output), ("J_t", stretch.jacobians())):
            bad = ~values.flatten(2).isfinite().all(2)
            if bool(bad.any()):
                sequence, step = bad.nonzero()[0].tolist()
                return f"The {name} are not finite from step {stretch.start + step} of sequence {sequence} on"
    return None
