"""Motion: models that learn joint angles from a drive, run free, and are steered by inputs and by single neurons.

    model          MotionModel
    reading        drives and angles in any container, checked
    joint_angles   the angles of one motion, read and checked
    sinusoids      the sinusoids of one frequency that fit best
    rhythms        frequency, amplitudes, phases and lags of a motion
    steering       dose and response of every neuron
    figures        joint angles, dose and response, a stick salamander
    rotations      exponential maps and Euler angles
    clips          windows of clips
    pose_space     principal components of poses
    human          the published protocol of human walking, in true time
    continuations  what networks have to beat by it

The functions are at hand as ``seqdyn.motion.<name>``; they are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "model": ("MotionModel", "default_estimator"),
    "rhythms": ("rhythm", "Rhythm", "cycle_error", "CycleError"),
    "steering": ("steering_map", "steering_neurons"),
    "figures": ("plot_joint_angles", "plot_steering_map", "animate_salamander"),
    "rotations": ("euler_angles", "rotation_matrices"),
    "clips": ("halve", "cut", "published_starts", "separate_starts", "Windows"),
    "pose_space": ("PoseSpace",),
    "human": ("evaluate_continuations", "euler_errors"),
    "continuations": (
        "zero_velocity",
        "constant_velocity",
        "RidgeAutoregression",
        "NearestContinuation",
        "leave_one_clip_out",
    ),
}
"""Where each public name lives."""

_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"seqdyn.motion.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'seqdyn.motion' has no attribute {name!r}; see dir(seqdyn.motion).")


def __dir__() -> list[str]:
    return sorted(__all__)
