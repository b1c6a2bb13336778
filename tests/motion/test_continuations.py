"""What networks have to beat: exact where the motion is of their kind, and refusing what they cannot continue."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from seqdyn.motion.clips import cut, halve
from seqdyn.motion.continuations import (
    NearestContinuation,
    RidgeAutoregression,
    constant_velocity,
    leave_one_clip_out,
    zero_velocity,
)
from seqdyn.motion.human import evaluate_continuations
from seqdyn.motion.pose_space import PoseSpace

STEP = np.pi / 60
"""Of a turn, in a frame: 120 frames are one turn."""


def walk(frames: int = 400, phase: float = 0.0, columns: int = 15) -> np.ndarray:
    """Joints that swing at one frequency; the last column stands still."""
    places = np.random.default_rng(0).uniform(0, 6, columns)
    clip = 0.3 * np.sin(STEP * np.arange(frames)[:, None] + phase + places)
    clip[:, -1] = 0.7
    return clip


def test_constant_velocity_is_exact_on_straight_lines_and_zero_velocity_on_what_stands():
    line = np.arange(150)[:, None] * np.linspace(0, 0.01, 15) + 0.1
    past, future = (part[0] for part in cut(line, [0]))
    np.testing.assert_allclose(constant_velocity(past), future, atol=1e-12)
    assert np.array_equal(zero_velocity(past), np.tile(past[-1], (25, 1)))


@pytest.mark.parametrize("standardise", [False, True])
def test_the_linear_model_continues_what_is_linear(standardise):
    """A sum of two rhythms has four dimensions and two lags; a level of its own is free."""
    clips = [
        walk(phase=phase) + np.append(0.1 * walk(phase=2 * phase)[:, 1:], walk()[:, :1], axis=1) for phase in (0, 2)
    ]
    model = RidgeAutoregression(components=4, lags=2, penalty=1e-10, standardise=standardise).fit(clips)
    frames = halve(clips[1])
    past, future = (part[0] for part in cut(frames, [60]))
    np.testing.assert_allclose(model(past)[:, 6:], future[:, 6:], atol=1e-4)


def test_the_linear_model_is_scikit_learns():
    """One step of it, written with their ridge and their principal components."""
    rng = np.random.default_rng(1)
    clips = [rng.normal(size=(90, 15)).cumsum(axis=0) / 10 for _ in range(2)]
    ours = RidgeAutoregression(components=3, lags=2, penalty=5.0).fit(clips)
    pca = PCA(3, svd_solver="full").fit(np.concatenate(clips)[:, 6:])
    seen, change = [], []
    for scores in (pca.transform(clip[phase::2, 6:]) for clip in clips for phase in (0, 1)):
        seen.append(np.concatenate([scores[1:-1], scores[:-2]], axis=1))
        change.append(np.diff(scores, axis=0)[1:])
    ridge = Ridge(alpha=5.0).fit(np.concatenate(seen), np.concatenate(change))
    past = rng.normal(size=(50, 15))
    last = pca.transform(past[:, 6:])[::-1][:2]
    step = pca.inverse_transform(last[:1] + ridge.predict(last.reshape(1, -1))) - pca.inverse_transform(last[:1])
    np.testing.assert_allclose(ours(past)[0, 6:], past[-1, 6:] + step[0], atol=1e-10)


def test_the_look_up_finds_the_same_phase_and_keeps_its_own_level():
    model = NearestContinuation(frames=5).fit([walk()])
    past, future = (part[0] for part in cut(halve(walk(phase=40 * STEP)), [17]))
    np.testing.assert_allclose(model(past)[:, 6:], future[:, 6:], atol=1e-12)
    np.testing.assert_allclose(model(past + 0.01)[:, 6:], future[:, 6:] + 0.01, atol=1e-12)


@pytest.mark.parametrize("fitted", [RidgeAutoregression(3, 2, 1.0), NearestContinuation()], ids=["ridge", "nearest"])
def test_what_does_not_move_is_held(fitted):
    past = walk()[:50]
    future = fitted.fit([walk()])(past)
    assert np.array_equal(future[:, :6], np.tile(past[-1, :6], (25, 1))) and (future[:, -1] == past[-1, -1]).all()


def test_a_pose_space_of_all_components_loses_nothing_and_of_few_keeps_the_rest_of_the_last_frame():
    rng = np.random.default_rng(2)
    clip = rng.normal(size=(60, 12))
    whole, few = PoseSpace.fit([clip], standardise=True), PoseSpace.fit([clip], components=2)
    np.testing.assert_allclose(whole.poses(whole.scores(clip), clip[0])[:, 6:], clip[:, 6:], atol=1e-12)
    back = few.poses(few.scores(clip), clip[7])
    np.testing.assert_allclose(back[7], clip[7], atol=1e-12)
    np.testing.assert_allclose(few.scores(back), few.scores(clip), atol=1e-12)
    assert (back[:, :6] == clip[7, :6]).all() and few.components == 2
    many = few.poses(few.scores(np.stack([clip, clip])), clip[:2])
    np.testing.assert_allclose(many[1], few.poses(few.scores(clip), clip[1]), atol=1e-12)


def test_leaving_one_out_never_learns_from_what_it_scores():
    clips, seen = [walk(200 + 2 * k, phase=k) for k in range(3)], []

    def learn(others):
        seen.append([len(other) for other in others])
        return zero_velocity

    table = leave_one_clip_out({"stands": learn}, clips, every=7)
    assert seen == [[202, 204], [200, 204], [200, 202]]
    alone = [
        evaluate_continuations({"stands": zero_velocity}, cut(halve(clip), range(0, len(clip) // 2 - 74, 7)))
        for clip in clips
    ]
    np.testing.assert_allclose(table.to_numpy(), np.mean(alone, axis=0), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RidgeAutoregression(lags=51).fit([walk()]), "lags=51, but 50 frames are seen"),
        (lambda: RidgeAutoregression(lags=0).fit([walk()]), "lags must be an int of at least 1, got 0"),
        (lambda: RidgeAutoregression(penalty=-1.0).fit([walk()]), "penalty must be a number of at least 0, got -1.0"),
        (lambda: RidgeAutoregression(20, 2).fit([walk()]), "components=20, but 8 columns move in 400 frames"),
        (lambda: RidgeAutoregression(2, 50).fit([walk(90)]), "lags=50, but no clip has more than 45 frames"),
        (lambda: RidgeAutoregression()(walk()[:50]), r"not fitted: call fit\(clips\) first"),
        (lambda: NearestContinuation()(walk()[:50]), r"not fitted: call fit\(clips\) first"),
        (lambda: NearestContinuation(51).fit([walk()]), "frames=51, but 50 frames are seen"),
        (lambda: NearestContinuation().fit([walk(58)]), "No clip has 30 frames in its half"),
        (lambda: NearestContinuation().fit([walk()])(walk()[:4]), "frames must be an int of at least 5, got 4"),
        (
            lambda: NearestContinuation().fit([walk()])(walk(60, columns=18)),
            r"frames has shape \(5, 18\), expected 15 columns",
        ),
        (lambda: NearestContinuation().fit(walk()), "clips is a ndarray, expected a list"),
        (lambda: PoseSpace.fit([]), "expected a list of at least one clip"),
        (lambda: PoseSpace.fit([walk(), walk(columns=18)]), r"clips have \[15, 18\] columns"),
        (lambda: PoseSpace.fit([np.zeros((9, 15))]), "0 columns move"),
        (lambda: PoseSpace.fit([walk()]).scores(np.zeros(3)), r"frames has shape \(3,\), expected 15 columns"),
        (lambda: PoseSpace.fit([walk()], 2).poses(np.zeros(2), walk()[0]), r"scores has shape \(2,\), expected"),
        (lambda: leave_one_clip_out({}, [walk()]), "clips holds 1: one is left out"),
        (lambda: constant_velocity(walk(1)), "frames must be an int of at least 2, got 1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
