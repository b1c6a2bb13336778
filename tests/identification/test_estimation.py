"""What is known of an estimated system: likelihood and criteria, in every unit and basis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seqdyn.identification.estimation import Estimation, central_differences
from seqdyn.identification.identify import Identification, Settings, identify
from seqdyn.identification.kalman import predictions_ahead
from seqdyn.identification.records import DataRecord
from seqdyn.identification.system import LinearSystem
from tests.identification.test_subspace import READY_MADE, innovations

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def record() -> DataRecord:
    return innovations(READY_MADE, 500, 0.5)


@pytest.fixture(scope="module")
def found(record: DataRecord) -> Identification:
    return identify([record], Settings(order=2, focus="prediction"))


def told(system: LinearSystem) -> Estimation:
    assert system.estimation is not None
    return system.estimation


def likelihood(system: LinearSystem, record: DataRecord, start: Array) -> float:
    """ln L of Gaussian one-step errors, written out."""
    errors = record.y - predictions_ahead(system, record.x, record.y, start, 1)
    R = system.noise_covariance
    assert R is not None
    squares = np.einsum("ti,ij,tj->t", errors, np.linalg.inv(R), errors)
    return float(-0.5 * (squares + np.linalg.slogdet(2 * np.pi * R)[1]).sum())


def test_the_likelihood_is_that_of_the_one_step_errors(found: Identification, record: DataRecord) -> None:
    expected = likelihood(found.system, record, found.starts[0])
    assert told(found.system).log_likelihood == pytest.approx(expected, rel=1e-9)
    assert found.system.noise_covariance is not None
    expected = np.linalg.slogdet(found.system.noise_covariance)[1]
    assert told(found.system).log_determinant == pytest.approx(expected, rel=1e-9)
    assert told(found.system).parameters == 2 * (2 * 2 + 2) + 4 + 2 + 2  # the start is estimated, too
    np.testing.assert_array_equal(told(found.system).known, [500, 500])


def test_other_units_change_the_density_alone(found: Identification, record: DataRecord) -> None:
    """ln L by −Σ N ln s, for any model of the same outputs: differences of AIC and BIC stay, and poles' errors."""
    m_x, s_x, m_y, s_y = np.array([3.0, -1.0]), np.array([2.0, 0.5]), np.array([10.0, -5.0]), np.array([0.1, 7.0])
    small = identify([record], Settings(order=1, focus="prediction")).system
    physical, other = (system.in_units(m_x, s_x, m_y, s_y) for system in (found.system, small))
    there = DataRecord.of(record.x * s_x + m_x, record.y * s_y + m_y)
    assert told(physical).log_likelihood == pytest.approx(likelihood(physical, there, found.starts[0]), rel=1e-9)
    shift = told(physical).log_likelihood - told(found.system).log_likelihood
    assert shift == pytest.approx(-500 * np.log(s_y).sum(), rel=1e-9)
    for name in ("aic", "bic"):
        gap = getattr(told(found.system), name) - getattr(told(small), name)
        assert getattr(told(physical), name) - getattr(told(other), name) == pytest.approx(gap, abs=1e-6)
        assert gap < -100
    ratio = told(physical).fpe / told(found.system).fpe
    assert ratio == pytest.approx(np.prod(s_y) ** 2, rel=1e-9)
    np.testing.assert_allclose(
        physical.pole_standard_errors().modulus, found.system.pole_standard_errors().modulus, rtol=1e-9
    )


def test_another_basis_changes_nothing_that_is_known(found: Identification) -> None:
    basis = np.random.default_rng(0).normal(size=(2, 2)) + 2 * np.eye(2)
    other = found.system.in_basis(basis)
    for name in ("log_likelihood", "aic", "bic", "fpe"):
        assert getattr(told(other), name) == getattr(told(found.system), name)
    np.testing.assert_allclose(
        other.standard_error(LinearSystem.dc_gain), found.system.standard_error(LinearSystem.dc_gain), rtol=1e-5
    )
    np.testing.assert_allclose(other.pole_standard_errors().real, found.system.pole_standard_errors().real, rtol=1e-9)


def test_outputs_known_more_or_less_often_shift_by_their_own_number() -> None:
    one = Estimation("prediction", np.array([100, 60]), 7, -50.0, 1.0)
    moved = one.in_units(np.zeros(1), np.ones(1), np.array([2.0, 5.0]))
    assert moved.log_likelihood == pytest.approx(-50.0 - 100 * np.log(2.0) - 60 * np.log(5.0))
    assert moved.steps == 100


def test_the_criteria_are_their_formulas() -> None:
    one = Estimation("prediction", np.array([200]), 10, -300.0, np.log(0.25))
    assert one.aic == pytest.approx(2 * 10 + 600)
    assert one.bic == pytest.approx(10 * np.log(200) + 600)
    assert one.fpe == pytest.approx(0.25 * 1.05 / 0.95)
    assert replace(one, parameters=200).fpe == np.inf


def test_fpe_and_aic_are_one_criterion_for_long_records() -> None:
    """T ln FPE − AIC is the same for every model, up to d³/T²: the shares 2 d/T cancel."""
    models = [Estimation("prediction", np.array([5000]), d, 0.0, 0.3) for d in (0, 10)]
    values = []
    for model in models:
        own = -0.5 * 5000 * (1 + np.log(2 * np.pi) + model.log_determinant)
        values.append(5000 * np.log(model.fpe) - replace(model, log_likelihood=own).aic)
    assert values[0] == pytest.approx(values[1], abs=1e-3)


def test_the_spread_of_a_linear_function_is_exact() -> None:
    """f(size, j) = f_0 + size c_j gives c_j, and a square adds nothing."""
    slopes = np.random.default_rng(0).normal(size=(4, 3))
    root = central_differences(lambda size, j: 7.0 + size * slopes[j] + size**2, 4)
    np.testing.assert_allclose(root, slopes, atol=1e-10)
    assert central_differences(lambda size, j: np.zeros(3), 0).size == 0
