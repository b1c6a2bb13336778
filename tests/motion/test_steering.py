"""Dose and response: against runs one at a time, the search, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqdyn import MotionModel, steering_map, steering_neurons
from seqdyn.dynamics import neurons
from seqdyn.motion import plot_steering_map, rhythm
from tests.motion.conftest import made

START = made(1, 50, 5).angles[0, :20]
OPTIONS: dict[str, Any] = {"drive": [1.0], "start": START, "steps": 200}


def test_a_map_is_its_runs_one_at_a_time(circling: MotionModel) -> None:
    found = steering_map(circling, "frequency", ["h[3]", "h[0]"], [-0.2, 0.3], **OPTIONS)
    assert found.dims == ("neuron", "dose") and found["value"].values.tolist() == [[-0.2, 0.3]] * 2
    for neuron in ("h[3]", "h[0]"):
        for dose, value in enumerate((-0.2, 0.3)):
            alone = circling.steer({neuron: value}, [1.0], START, 200)
            expected = rhythm(alone.isel(time=slice(100, None))).frequency
            assert float(found.sel(neuron=neuron)[dose]) == pytest.approx(expected, rel=1e-4)
    free = circling.free_run([1.0], START, 200)
    assert float(found["free"]) == pytest.approx(rhythm(free.isel(time=slice(100, None))).frequency, rel=1e-6)


def test_doses_reach_over_twice_the_range(circling: MotionModel) -> None:
    found = steering_map(circling, "amplitude", values=5, **OPTIONS)
    assert found["neuron"].values.tolist() == neurons(circling.cell_)
    middle = (found["low"] + found["high"]) / 2
    np.testing.assert_allclose(found["value"][:, 2], middle)
    np.testing.assert_allclose(found["value"][:, -1] - found["value"][:, 0], 2 * (found["high"] - found["low"]))


def test_a_quantity_of_ones_own_and_of_some_joints(circling: MotionModel) -> None:
    def lowest(angles: Any) -> float:
        return float(angles.min())

    own = steering_map(circling, lowest, ["h[1]"], [0.0], joints=["knee"], **OPTIONS)
    alone = circling.steer({"h[1]": 0.0}, [1.0], START, 200)
    assert float(own[0, 0]) == pytest.approx(float(alone.isel(time=slice(100, None)).sel(angle="knee").min()), rel=1e-4)
    assert own.name == "lowest"


def test_the_search_ranks_by_effect_without_side_effect(circling: MotionModel) -> None:
    ranked = steering_neurons(circling, "frequency", values=5, **OPTIONS)
    responses = steering_map(circling, "frequency", values=5, **OPTIONS)
    assert set(ranked.index) == set(neurons(circling.cell_))
    assert (np.diff(ranked["score"]) <= 0).all()
    np.testing.assert_allclose(ranked["score"], ranked["relative_effect"] - ranked["side_effect"])
    np.testing.assert_allclose(ranked["relative_effect"], ranked["effect"] / float(responses.free), rtol=1e-4)
    for name in ranked.index[:3]:
        row = responses.sel(neuron=name).fillna(responses.free).values
        assert ranked.loc[name, "effect"] == pytest.approx(np.ptp(row), rel=1e-4)
        assert ranked.loc[name, "monotone"] == bool((np.diff(row) >= 0).all() or (np.diff(row) <= 0).all())


def test_the_figure_shows_the_strongest(circling: MotionModel) -> None:
    found = steering_map(circling, "frequency", values=5, **OPTIONS)
    curves, table = plot_steering_map(found, shown=3, unit="Hz").axes[:2]
    strongest = found["neuron"].values[np.argsort(-np.ptp(found.fillna(found.free).values, axis=1))]
    assert [text.get_text() for text in curves.get_legend().get_texts()] == strongest[:3].tolist()
    np.testing.assert_allclose(
        np.ma.filled(table.images[0].get_array(), np.nan)[0],
        found.sel(neuron=strongest[0]).values - float(found.free),
    )
    assert "Hz" in curves.get_ylabel()
    with pytest.raises(ValueError, match="give a steering_map"):
        plot_steering_map(found.rename(dose="x"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quantity": "speed"}, "quantity must be one of"),
        ({"neurons": []}, "different names, at least one"),
        ({"neurons": ["h[0]", "h[0]"]}, "different names"),
        ({"start": np.stack([START, START])}, "Steering is of one series"),
        ({"neurons": ["h[99]"]}, r"no neuron 'h\[99\]'"),
        ({"values": [np.nan]}, "finite doses"),
        ({"values": 1}, "values"),
        ({"joints": ["toe"]}, "no joint 'toe'"),
        ({"steps": 3}, "steps"),
        ({"drive": [9.0]}, "outside of the range"),
    ],
)
def test_what_cannot_be_asked_is_named(circling: MotionModel, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        steering_map(circling, **{"neurons": ["h[0]"], "values": 3} | OPTIONS | change)


def test_one_name_is_a_neuron_and_one_neuron_can_be_ranked(circling: MotionModel) -> None:
    one, many = (steering_map(circling, "amplitude", names, 3, **OPTIONS) for names in ("h[1]", ["h[1]"]))
    np.testing.assert_array_equal(one, many)
    ranked = steering_neurons(circling, "frequency", "h[1]", 3, joints="hip", **OPTIONS)
    assert list(ranked.index) == ["h[1]"] and ranked["score"].iloc[0] != 0
