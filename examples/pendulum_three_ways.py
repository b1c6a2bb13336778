"""A driven pendulum identified three ways: by a linear state space, by a sparse polynomial, by a GRU.

θ'' = −4 sin θ − θ'/2 + u; the angle is measured with noise of 0.005 rad. Small swings are linear, and nine numbers are
enough. Large ones are not: 4 sin θ ≈ 4 θ − 0.667 θ³ + 0.033 θ⁵. Least squares on monomials finds these terms, and an
equation runs by itself (SINDy; Brunton, Proctor & Kutz 2016). A GRU is told nothing, and follows both, less closely.
One step ahead, the last angles given, the linear model errs twice as much as the equation; in free run, nine times.
"""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from sklearn.feature_selection import RFE
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from seqdyn import Autoregression, GRURegressor, LinearStateSpaceRegressor
from seqdyn.estimators.next_generation import NextGenerationReservoirRegressor
from seqdyn.figures import PALETTE, STYLE, figure
from seqdyn.flow import Flow
from seqdyn.metrics import rmse
from seqdyn.systems.pendulum import Pendulum
from seqdyn.systems.simulate import simulate

DT, STEPS, NOISE = 0.2, 100, 0.005  # s, steps, rad
SMALL, LARGE = 0.2, 2.4  # rad/s², the largest torques; 4 would hold it at a right angle
MONOMIALS, TERMS = PolynomialFeatures(degree=5, include_bias=False), 5


class Records(NamedTuple):
    """Torques, angles and measured angles, (series, time)."""

    torque: np.ndarray
    angle: np.ndarray
    measured: np.ndarray


class Model(NamedTuple):
    """How many numbers a fitted model has, and its angles by the torque alone and by the angles so far, too."""

    numbers: int
    free_run: Callable[[Records], np.ndarray]
    one_step: Callable[[Records], np.ndarray]


def swings(torque: float, series: int, seed: int) -> Records:
    """A pendulum from rest under torques that change every second."""
    draw = np.random.default_rng(seed)
    u = np.repeat(draw.uniform(-torque, torque, (series, STEPS // 5)), 5, axis=1)
    angle = run(Pendulum(frequency=2.0, damping=0.5, dt=DT), u)
    return Records(u, angle, angle + NOISE * draw.normal(size=angle.shape))


def run(system: Flow, u: np.ndarray) -> np.ndarray:
    """The angles of a system that begins at rest."""
    return simulate(system.double(), STEPS, x=torch.as_tensor(u)[:, :, None])[:, :, 0].numpy()


class Equation(Flow):
    """θ'' = Σ c_i θ^{p_i} θ'^{q_i} u^{r_i}."""

    def __init__(self, powers: np.ndarray, coefficients: np.ndarray):
        super().__init__([0.0, 0.0], DT, input_size=1)
        self.powers, self.coefficients = torch.as_tensor(powers), torch.as_tensor(coefficients)

    def flow(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        monomials = (torch.cat([h, x], 1)[:, None] ** self.powers).prod(2)
        return torch.stack([h[:, 1], monomials @ self.coefficients], dim=1)


def find_equation(seen: Records) -> tuple[dict[str, float], Equation]:
    """Least squares of θ'' on all monomials; the one that matters least goes, again and again, until five are left."""
    y, u = seen.measured, seen.torque
    place = np.stack([y[:, 1:-1], (y[:, 2:] - y[:, :-2]) / (2 * DT), (u[:, 1:-1] + u[:, 2:]) / 2], axis=2)
    pull = np.diff(y, 2) / DT**2
    elimination = RFE(LinearRegression(), n_features_to_select=TERMS)
    scaling = make_pipeline(MONOMIALS, StandardScaler(), elimination).fit(place.reshape(-1, 3), pull.ravel())[1]
    kept = elimination.support_
    coefficients = elimination.estimator_.coef_ / scaling.scale_[kept]
    names = MONOMIALS.get_feature_names_out(["θ", "θ'", "u"])[kept]
    return dict(zip(names, coefficients, strict=True)), Equation(MONOMIALS.powers_[kept], coefficients)


def by_differences(equation: Equation, seen: Records) -> np.ndarray:
    """Every angle from the last two that were measured."""
    y, u = seen.measured, seen.torque
    place = np.stack([y[:, 1:-1], np.diff(y[:, :-1]) / DT], axis=2).reshape(-1, 2)
    torque = (u[:, 1:-1] + u[:, 2:]) / 2
    pull = equation.flow(torch.as_tensor(place), torch.as_tensor(torque.reshape(-1, 1)))[:, 1].numpy()
    ahead = 2 * y[:, 1:-1] - y[:, :-2] + DT**2 * pull.reshape(torque.shape)
    return np.pad(ahead, ((0, 0), (2, 0)))


def sparse(equation: Equation) -> Model:
    return Model(TERMS, lambda new: run(equation, new.torque), lambda new: by_differences(equation, new))


def linear(seen: Records) -> Model:
    """Two states; one step ahead by the model's Kalman filter."""
    model = LinearStateSpaceRegressor(order=2).fit(seen.torque[:, :, None], seen.measured)
    return Model(
        model.block_matrix_.size,
        lambda new: model.predict(new.torque[:, :, None]),
        lambda new: model.predict(new.torque[:, :, None], y=new.measured, steps_ahead=1),
    )


def own_past(model: Any, seen: Records) -> Model:
    """A model of (last angle, torque), which takes its own last angle where none is given."""
    model.fit(beside(seen), seen.measured)
    numbers = sum(parameter.numel() for parameter in model.network_.parameters())
    return Model(numbers, lambda new: model.predict(beside(new, known=1)), lambda new: model.predict(beside(new)))


def beside(seen: Records, known: int = STEPS) -> np.ndarray:
    """The last angle, at first 0 and NaN after so many steps, and the torque: (series, time, 2)."""
    last = np.pad(seen.measured[:, :-1], ((0, 0), (1, 0)))
    last[:, known:] = np.nan
    return np.stack([last, seen.torque], axis=2)


def draw(models: dict[str, Model], unseen: dict[str, Records], out: str) -> None:
    """Free runs through one record of each kind."""
    drawing, panels = figure(rows=2, width=9.0, height=5.0, sharex=True)
    time = DT * np.arange(1, STEPS + 1)
    with matplotlib.rc_context(STYLE):
        for panel, (name, records) in zip(panels, unseen.items(), strict=True):
            one = Records(*(values[:1] for values in records))
            panel.plot(time, np.rad2deg(one.angle[0]), color=PALETTE["grid"], linewidth=6, label="pendulum")
            for number, model in enumerate(("linear, of small swings", "sparse polynomial", "GRU"), start=1):
                angle = np.rad2deg(models[model].free_run(one)[0])
                panel.plot(time, angle, color=PALETTE[f"model {number}"], label=model)
            panel.set(title=f"Free run through {name} swings", ylabel="angle, degrees")
        panels[1].set(xlabel="time, s")
        drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
    drawing.savefig(out)


def main(out: str | None = None) -> None:
    little, much = swings(SMALL, 16, seed=0), swings(LARGE, 48, seed=10)
    both = Records(*map(np.concatenate, zip(little, much, strict=True)))
    unseen = {"small": swings(SMALL, 16, seed=2), "large": swings(LARGE, 16, seed=3)}
    for name, new in unseen.items():
        print(f"{name} swings: up to {np.rad2deg(abs(new.angle).max()):.0f}°, RMS {new.angle.std():.3f} rad")
    terms, equation = find_equation(both)
    print("found:  θ'' =", " ".join(f"{value:+.3f} {name}" for name, value in terms.items()), "\n")

    reservoir = NextGenerationReservoirRegressor(delays=4, stride=1, degree=3, autoregression=Autoregression())
    network = GRURegressor(
        hidden_size=16,
        autoregression=Autoregression(lags=2, residual=True),
        batch_size=8,
        max_epochs=40,
        learning_rate=0.02,
        schedule="cosine",
        random_state=0,
    )
    models = {
        "linear, of small swings": linear(little),
        "linear": linear(both),
        "sparse polynomial": sparse(equation),
        "all cubics of 4 steps": own_past(reservoir, both),
        "GRU": own_past(network, both),
    }
    print("RMSE in rad                         free run           one step")
    print("                        numbers   small   large      small   large")
    free, ahead = {}, {}
    for name, (numbers, free_run, one_step) in models.items():
        free[name] = np.array([rmse(new.angle, free_run(new)) for new in unseen.values()])
        ahead[name] = np.array([rmse(new.angle[:, 2:], one_step(new)[:, 2:]) for new in unseen.values()])
        shown = "      ".join("{:6.4f}  {:6.4f}".format(*errors) for errors in (free[name], ahead[name]))
        print(f"{name:24} {numbers:6}  {shown}")
    if out is not None:
        draw(models, unseen, out)

    assert set(terms) == {"θ", "θ'", "u", "θ^3", "θ^5"}
    np.testing.assert_allclose([terms[name] for name in ("θ", "θ'", "u", "θ^3")], [-4, -0.5, 1, 4 / 6], rtol=0.1)
    assert free["linear, of small swings"][0] < 0.8 * min(free["sparse polynomial"][0], free["GRU"][0])
    assert (free["GRU"] < 0.5 * free["linear"]).all()
    assert free["sparse polynomial"][1] < 0.2 * free["linear"][1]
    assert ahead["sparse polynomial"][1] > 0.3 * ahead["linear"][1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", help="write a figure of the free runs to this file")
    main(parser.parse_args().out)
