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

from seqdyn.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
