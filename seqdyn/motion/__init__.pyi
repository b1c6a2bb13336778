"""Where each name of ``seqdyn.motion`` is defined; type checkers and ``seqdyn.lazy_names`` read this list."""

from .clips import Windows as Windows
from .clips import cut as cut
from .clips import halve as halve
from .clips import published_starts as published_starts
from .clips import separate_starts as separate_starts
from .continuations import NearestContinuation as NearestContinuation
from .continuations import RidgeAutoregression as RidgeAutoregression
from .continuations import constant_velocity as constant_velocity
from .continuations import leave_one_clip_out as leave_one_clip_out
from .continuations import zero_velocity as zero_velocity
from .figures import animate_salamander as animate_salamander
from .figures import plot_joint_angles as plot_joint_angles
from .figures import plot_steering_map as plot_steering_map
from .human import euler_errors as euler_errors
from .human import evaluate_continuations as evaluate_continuations
from .model import MotionModel as MotionModel
from .model import default_estimator as default_estimator
from .pose_space import PoseSpace as PoseSpace
from .rhythms import CycleError as CycleError
from .rhythms import Rhythm as Rhythm
from .rhythms import cycle_error as cycle_error
from .rhythms import rhythm as rhythm
from .rotations import euler_angles as euler_angles
from .rotations import rotation_matrices as rotation_matrices
from .steering import steering_map as steering_map
from .steering import steering_neurons as steering_neurons
