"""Whoever follows the advice of a report is better off: every rule is followed, and the model trained again.

The eight situations are those of benchmarks/following_advice.py, which shows them with two seeds.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler
from torch import nn

import seqdyn
from seqdyn import (
    Autoregression,
    EchoStateRegressor,
    ElmanRegressor,
    GRURegressor,
    LanguageModel,
    LSTMRegressor,
    MovingAverageRegressor,
    RecurrentRegressor,
    from_torch,
    stability_report,
)
from seqdyn.cells.elman import Elman
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.systems.henon import Henon
from seqdyn.teacher_forcing import TeacherForcing
from seqdyn.training import initialisation
from seqdyn.training.loop import NonFiniteError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PLACE = Path(__file__).parents[2] / "benchmarks" / "following_advice.py"
SPEC = importlib.util.spec_from_file_location("following_advice", PLACE)
assert SPEC is not None and SPEC.loader is not None
following = importlib.util.module_from_spec(SPEC)
sys.modules["following_advice"] = following
SPEC.loader.exec_module(following)

FIRST = {
    "closed gates, LSTM": "R01",
    "closed gates, GRU": "R01",
    "short truncation": "R09",
    "saturated inputs": "R14",
    "exploding tanh": "R06",
    "relu at gain 1.3": "R05",
    "torch LSTM": "R01",
    "NaN loss": "R16",
}


@pytest.fixture(autouse=True)
def same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that is pasted draws its weights anew each time; here the same ones."""
    monkeypatch.setattr(initialisation, "own_generator", lambda given: given or torch.Generator().manual_seed(0))


def ids(report: Any) -> list[str]:
    return [advice["id"] for advice in report.content["recommendations"]]


def advised(report: Any, which: str) -> dict[str, Any]:
    return next(advice for advice in report.content["recommendations"] if advice["id"] == which)


@pytest.mark.parametrize("name", following.SITUATIONS)
def test_the_first_advice_helps(name: str) -> None:
    """The right rule comes first, and after it the score is far better and the verdict is OK."""
    before, after = following.SITUATIONS[name](0)
    assert ids(before.report)[0] == FIRST[name], str(before.report)
    assert after.score > before.score + 0.3 and after.report.verdict == "OK", (before.score, after.score)


# --- the other rules, with estimators ---------------------------------------------------------------------------------


def decaying(start: Any, **others: Any) -> Any:
    return ElmanRegressor(
        hidden_size=32, return_sequences=False, initialise=start, max_epochs=40, random_state=0, **others
    )


def fast(kind: type, rate: float) -> Any:
    return kind(hidden_size=16, return_sequences=False, learning_rate=rate, max_epochs=30, random_state=0)


def score_after(before: Any, model: Any, data: Any, rule: str) -> float:
    """The score of the model once a rule is followed."""
    after = clone(model).set_params(**following.parameter(advised(before.report, rule)["text"])).fit(data.X, data.y)
    return float(after.score(data.X_held_out, data.y_held_out))


POLES = RecurrentRegressor(
    cell=Linear, hidden_size=16, return_sequences=False, initialise=("orthogonal", 0.5), max_epochs=40, random_state=0
)
CLIPPED = decaying(("orthogonal", 1.0), clip_norm=0.1, optimizer="sgd")


@pytest.mark.parametrize(
    ("rule", "model", "lag"),
    [
        ("R03", POLES, 20),
        ("R11", fast(GRURegressor, 3.0), 10),
        ("R12", CLIPPED, 20),
    ],
)
def test_advice_on_parameters_helps(rule: str, model: Any, lag: int) -> None:
    data = following.recall(lag, 0)
    before = following.trained(model, data, lag, "fast")
    assert score_after(before, model, data, rule) > before.score + 0.3


def test_both_ways_to_hold_longer_help() -> None:
    """R01 names a bias for all units, and memories of many lengths."""
    data = following.recall(30, 0)
    model = LSTMRegressor(
        hidden_size=16, return_sequences=False, initialise=("forget_bias", -2.0), max_epochs=30, random_state=0
    )
    before = following.trained(model, data, 30, "fast")
    ways = re.findall(r"`initialise=(\('(\w+)', [\d.]+\))`", advised(before.report, "R01")["text"])
    assert [name for _, name in ways] == ["forget_bias", "chrono"]
    for start, _ in ways:
        after = following.trained(clone(model).set_params(initialise=eval(start)), data, 30, "fast")
        assert after.score > 0.8 > before.score


def test_a_gated_cell_in_place_of_a_plain_one() -> None:
    """R02: a logistic unit shrinks a gradient to a quarter at every step, whatever its weights are."""
    data, model = following.recall(20, 0), decaying(None, activation="sigmoid")
    before = following.trained(model, data, 20, "fast")
    text = advised(before.report, "R02")["text"]
    assert (
        text.startswith("Take a gated cell, `LSTMRegressor(initialise=('forget_bias', ")
        and ids(before.report)[0] == "R02"
    )
    gated = eval(following.CODE.findall(text)[0], {"LSTMRegressor": LSTMRegressor})
    own = {"return_sequences": False, "max_epochs": 40, "random_state": 0}
    after = following.trained(gated.set_params(hidden_size=16, **own), data, 20, "fast")
    assert after.score > 0.9 > 0.3 > before.score and after.report.verdict == "OK"


def test_a_language_model_is_advised_what_it_takes() -> None:
    """It takes no start of its weights, but a function that makes its cell; a lag that nobody named is asked for.

    A training on noise is chaotic: rounding alone moves its gradient. So the median of three is compared.
    """
    text = "".join(np.random.default_rng(0).choice(list("abcd "), 1200))
    gained = []
    for seed in range(3):
        own: dict[str, Any] = {"hidden_size": 12, "max_steps": 20, "bptt_length": 150, "learning_rate": 1e-3}
        model = LanguageModel(random_state=seed, **own).fit(text)
        asked = stability_report(model, text, tier="fast")
        assert ids(asked)[0] == "R13" and "`required_lag`" in asked.recommendations[0]
        before = stability_report(model, text, required_lag=60, tier="fast")
        setting, line = following.CODE.findall(advised(before, "R01")["text"])[:2]
        space: dict[str, Any] = {"seqdyn": seqdyn}
        exec(line, space)
        assert setting == "cell=cell"
        again = LanguageModel(cell=space["cell"], random_state=seed, **own).fit(text)
        after = stability_report(again, text, required_lag=60, tier="fast")
        gained.append(after.gradient.median - before.gradient.median)
    assert np.median(gained) > 2


def test_what_decays() -> None:
    """R02 and R04 help; Ω comes last and costs 3 to 7 times the time, loosely: the clock of a busy machine is rough."""
    data, model = following.recall(20, 0), decaying(("orthogonal", 0.3))
    before = following.trained(model, data, 20)
    for rule in ("R02", "R04"):
        assert score_after(before, model, data, rule) > before.score + 0.3
    assert ids(before.report)[-1] == "R04" and "3 to 7 times" in advised(before.report, "R04")["text"]
    seconds = []
    for omega in (0.0, 2.0):
        own = clone(model).set_params(max_epochs=4, omega=omega)
        start = time.process_time()
        own.fit(data.X, data.y)
        seconds.append(time.process_time() - start)
    assert 1.5 < seconds[1] / seconds[0] < 15


def test_a_shorter_truncation_keeps_the_error() -> None:
    """R10: a target of the last four inputs needs no 80 steps, and never fewer than the lag are advised."""
    X = np.random.default_rng(0).normal(size=(1600, 1))
    y = np.convolve(X[:, 0], [0, 0.5, 0.3, 0.2, 0.5])[:1600]
    data = following.Data(X[:1200], y[:1200], X[1200:], y[1200:])
    model = GRURegressor(hidden_size=12, bptt_length=80, streams=8, max_epochs=30, random_state=0)
    before = following.trained(model, data, 5)
    assert 5 < advised(before.report, "R10")["number"] < 40
    assert score_after(before, model, data, "R10") > before.score - 0.02


@pytest.mark.parametrize("length", [3, 20, 24])
def test_never_a_truncation_below_the_lag(length: int) -> None:
    """Whatever else is said, no length of truncation that is advised leaves the lag out."""
    data = following.recalled_on(24, 32, 0, series=16)
    model = GRURegressor(hidden_size=4, bptt_length=length, max_epochs=1, random_state=0)
    report = following.trained(model, data, 24).report
    assert (report.verdict, report.severity, ids(report)[0]) == ("TRUNCATED", "FAIL", "R09")
    assert report.checks.loc["GS015", ["status", "value"]].tolist() == ["FAIL", 1.0]
    lengths = [int(value) for text in report.recommendations for value in re.findall(r"bptt_length=(\d+)", text)]
    assert all(value > 24 or value == length for value in lengths)


@pytest.mark.parametrize("tier", ["fast", "standard"])
def test_a_truncation_below_a_guess(tier: str) -> None:
    """Where nobody named the lag, it is asked for first, and no advice on the truncation shortens it."""
    X = np.random.default_rng(0).normal(size=(600, 1))
    model = LSTMRegressor(hidden_size=4, bptt_length=10, max_epochs=1, random_state=0).fit(X, X[:, 0])
    report = stability_report(model, X, X[:, 0], tier=tier)
    assert report.content["subject"]["required_lag"] == 60 and ids(report)[:2] == ["R13", "R09"]
    assert advised(report, "R09")["number"] > 10


def test_a_reservoir_forgets_its_start() -> None:
    """R17: λ₁ > 0 under the inputs; at the radius that is advised λ₁ < 0, and the error falls."""
    t = np.arange(801)
    x = np.sin(0.2 * t) * np.sin(0.0311 * t)
    data = following.Data(x[:500, None], x[1:501], x[500:-1, None], x[501:])
    model = EchoStateRegressor(hidden_size=40, spectral_radius=2.0, input_scale=0.1, bias_scale=0.1, random_state=0)
    before, after = following.followed(model, data, 20, "R17")
    assert before.report.checks.loc["GS011", "status"] == "WARN"
    assert before.report.content["lyapunov"]["exponents"][0] > 0 > after.report.content["lyapunov"]["exponents"][0]
    assert 1 - after.score < 0.5 * (1 - before.score)


def test_a_reservoir_remembers_longer() -> None:
    """R19: at the radius that is advised a gradient over the lag is larger by decades, and recall is better."""
    X = np.random.default_rng(0).normal(size=(600, 1))
    y = np.roll(X[:, 0], 8)
    data = following.Data(X[:400], y[:400], X[400:], y[400:])
    model = EchoStateRegressor(hidden_size=40, spectral_radius=0.4, input_scale=0.1, random_state=0)
    before, after = following.followed(model, data, 8, "R19", "fast")
    assert after.report.gradient.median > before.report.gradient.median + 1 and after.score > before.score + 0.3


def test_a_longer_window() -> None:
    """R20: a moving average as long as is advised holds what came the lag before."""
    X = np.random.default_rng(0).normal(size=(600, 1))
    y = np.convolve(X[:, 0], np.ones(8) / 8)[:600]
    data = following.Data(X[:400], y[:400], X[400:], y[400:])
    before, after = following.followed(MovingAverageRegressor(window=3), data, 7, "R20", "fast")
    assert (before.report.verdict, after.report.verdict) == ("VANISHING", "OK") and after.score > before.score + 0.3


def test_advice_on_a_cell_that_is_a_class() -> None:
    """R02: what the report calls a cell, the fit takes; the same for one that is built."""
    X = np.random.default_rng(0).normal(size=(300, 1))
    for cell in (Elman, Elman(1, 8, generator=torch.Generator().manual_seed(0))):
        model = RecurrentRegressor(cell=cell, hidden_size=8, initialise=("orthogonal", 0.3), max_epochs=1)
        report = stability_report(model.fit(X, X[:, 0]), X, X[:, 0], required_lag=40, tier="fast")
        code = following.CODE.findall(advised(report, "R02")["text"])[-1]
        gated = clone(model).set_params(initialise=None, **eval(f"dict({code})", {"seqdyn": seqdyn}))
        assert any(isinstance(part, LSTM) for part in gated.fit(X, X[:, 0]).network_.modules())


@pytest.mark.parametrize(("given", "advised_rate"), [(1e30, 0.01), (3.0, 0.01), (1.0, 0.1), (1e-4, 1e-5)])
def test_smaller_steps_are_sane(given: float, advised_rate: float) -> None:
    """R15: a tenth, or what is usual where a tenth is still beyond all sense; a limit that is set is not advised."""
    X = np.random.default_rng(0).normal(size=(100, 1))
    model = GRURegressor(hidden_size=4, max_epochs=1, random_state=0).fit(X, X[:, 0])
    model.network_.get_parameter(next(name for name, _ in model.network_.named_parameters())).data.fill_(np.nan)
    model.learning_rate = given
    text = advised(stability_report(model, X, X[:, 0], tier="fast"), "R15")["text"]
    assert f"`learning_rate={advised_rate:g}`" in text and "clip" not in text


def test_chaos_is_learnt_by_forcing() -> None:
    """R07: seeing the true value as often as is advised for the Hénon map, against ten times more rarely."""
    every = advised(stability_report(Henon().double(), steps=1000), "R07")["number"]
    x = [0.1, 0.2]
    for _ in range(1000):
        x.append(1 - 1.4 * x[-1] ** 2 + 0.3 * x[-2])
    rows, scores = np.array(x)[:, None], []
    for interval in (int(every), 10 * int(every)):
        past = Autoregression(teacher_forcing=TeacherForcing(every=interval))
        model = GRURegressor(hidden_size=16, window=60, stride=60, max_epochs=25, autoregression=past, random_state=0)
        model.fit(rows[:600], rows[1:601, 0])
        scores.append(model.score(rows[600:-1], rows[601:, 0]))
    assert scores[0] > scores[1] + 0.2


def test_a_training_that_diverged_comes_back() -> None:
    """R15: the report of what is left says where it happened, and with its rate and limit the fit succeeds."""
    data = following.recall(40, 0)
    model = ElmanRegressor(
        hidden_size=32,
        activation="relu",
        return_sequences=False,
        initialise=("identity", 1.5),
        clip_norm=None,
        optimizer="sgd",
        learning_rate=1e-2,
        max_epochs=20,
        random_state=0,
    )
    with pytest.raises(NonFiniteError):
        model.fit(data.X, data.y)
    report = stability_report(model, data.X, data.y, required_lag=20, tier="fast")
    assert report.checks.loc["GS022", "status"] == "FAIL" and "epoch 0" in report.checks.loc["GS022", "message"]
    text = advised(report, "R15")["text"]
    found = {name: float(value) for name, value in re.findall(r"`(learning_rate|clip_norm)=([\d.e-]+)`", text)}
    assert found == {"learning_rate": 1e-3, "clip_norm": 1.0}
    assert np.isfinite(clone(model).set_params(**found).fit(data.X, data.y).history_["loss"]).all()


# --- cells and torch modules: the code is pasted ----------------------------------------------------------------------


def drive(inputs: int = 2, series: int = 8, time: int = 120) -> torch.Tensor:
    return torch.randn(series, time, inputs, generator=torch.Generator().manual_seed(7))


def scaled(factor: float) -> Elman:
    cell = Elman(2, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        cell.recurrent_weight *= factor
    return cell


@pytest.mark.parametrize("factor", [4.0])
def test_a_cell_that_explodes(factor: float) -> None:
    """R06: with the start that is advised gradients explode no more."""
    x, cell = 0.01 * drive(), scaled(factor)
    before = stability_report(cell, x, required_lag=30, tier="fast")
    exec(following.CODE.findall(before.recommendations[0])[0], {"seqdyn": seqdyn, "cell": cell})
    after = stability_report(cell, x, required_lag=30, tier="fast")
    assert (before.verdict, after.verdict) == ("EXPLODING", "OK")


@pytest.mark.parametrize("gain", [1.2, 1.5])
def test_a_linear_cell_that_explodes(gain: float) -> None:
    """R06: times the factor that is advised the growth is gone."""
    cell = Linear(2, 6, generator=torch.Generator().manual_seed(0))
    nn.init.orthogonal_(cell.transition, gain)
    factor = advised(stability_report(cell, drive(), required_lag=30, tier="fast"), "R06")["number"]
    with torch.no_grad():
        cell.transition *= factor
    assert abs(stability_report(cell, drive(), required_lag=30, tier="fast").gradient.median) < 0.05


def test_a_linear_cell_that_forgets() -> None:
    cell = Linear(2, 6, generator=torch.Generator().manual_seed(0))
    nn.init.orthogonal_(cell.transition, 0.5)
    text = advised(stability_report(cell, drive(), required_lag=30, tier="fast"), "R03")["text"]
    exec(following.CODE.findall(text)[0], {"seqdyn": seqdyn, "cell": cell})
    assert stability_report(cell, drive(), required_lag=30, tier="fast").severity != "FAIL"


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_advice_for_torch_works_on_the_module(kind: type) -> None:
    """What is to be pasted changes the very module that was handed in, and its gradients then reach further."""
    torch.manual_seed(0)
    model = kind(2, 16)
    x = 0.03 * drive().transpose(0, 1)
    before = stability_report(model, x, required_lag=40, tier="fast")
    assert before.verdict == "VANISHING"
    exec(following.CODE.findall(before.recommendations[0])[0], {"seqdyn": seqdyn, kind.__name__.lower(): model})
    after = stability_report(model, x, required_lag=40, tier="fast")
    assert after.gradient.median > before.gradient.median + 2 and after.verdict == "OK", str(after)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_gates_without_a_bias(kind: type) -> None:
    """R01: they cannot be given one; built with biases they can."""
    torch.manual_seed(0)
    x = 0.03 * drive()
    before = stability_report(kind(2, 8, bias=False, batch_first=True), x, required_lag=40, tier="fast")
    text = advised(before, "R01")["text"]
    model = kind(2, 8, batch_first=True)
    exec(following.CODE.findall(text)[0], {"seqdyn": seqdyn, kind.__name__.lower(): model})
    after = stability_report(model, x, required_lag=40, tier="fast")
    assert "once it is built with `bias=True`" in text and after.gradient.median > before.gradient.median + 2


def test_a_part_of_a_model() -> None:
    """What is pasted is about the recurrence that was measured, whatever else the model holds."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"front": nn.RNN(2, 4, batch_first=True), "memory": nn.LSTM(4, 16, batch_first=True)})
    cell = from_torch(model["memory"])
    text = advised(stability_report(cell, drive(4), required_lag=60, tier="fast"), "R01")["text"]
    assert text.endswith("`lstm` is the module that was measured.")
    exec(following.CODE.findall(text)[0], {"seqdyn": seqdyn, "lstm": model["memory"]})


def test_a_relu_that_overflows() -> None:
    """R06: with the start that is advised its states stay finite."""
    torch.manual_seed(0)
    model, x = nn.RNN(2, 8, nonlinearity="relu", batch_first=True), drive(time=600)
    model.weight_hh_l0.data.copy_(2 * torch.eye(8))
    model.double()
    before = stability_report(model, x, required_lag=20, tier="fast")
    assert before.verdict == "EXPLODING" and ids(before)[:2] == ["R06", "R05"]
    exec(following.CODE.findall(before.recommendations[0])[0], {"seqdyn": seqdyn, "rnn": model})
    assert stability_report(model, x, required_lag=20, tier="fast").verdict == "OK"


def test_a_step_that_holds() -> None:
    """R21: what a step adds to its state it keeps."""
    given: dict[str, Any] = {"required_lag": 40, "initial_state": torch.zeros(1, 2), "tier": "fast"}
    before = stability_report(lambda x, h: (torch.tanh(0.3 * h + x),) * 2, drive(), **given)
    assert "add to it, h_t = h_{t-1} + …" in advised(before, "R21")["text"]
    after = stability_report(lambda x, h: (h + 0.1 * torch.tanh(x),) * 2, drive(), **given)
    assert (before.verdict, after.verdict) == ("VANISHING", "OK")


BOUNDED = {
    "below 0.05": lambda y: (0.05 - y).sqrt(),
    "below 1": lambda y: (1 - y).log(),
    "above 0": lambda y: y.log(),
    "above -0.02": lambda y: (y + 0.02).sqrt(),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_outputs_are_kept_where_the_loss_is_defined(name: str) -> None:
    """R16: on the side that is not at fault; what is pasted makes every error finite."""
    torch.manual_seed(0)
    head = nn.Linear(16, 1)
    head.weight.data *= 20
    nn.init.zeros_(head.bias)
    cell, x = from_torch(nn.GRU(2, 16, batch_first=True), head), drive()

    def report(loss: Any) -> Any:
        return stability_report(cell, x, torch.zeros(8, 120, 1), required_lag=10, loss=loss, tier="fast")

    text = advised(report(lambda output, _: BOUNDED[name](output)), "R16")["text"]
    code = following.CODE.findall(text)[0]

    def kept(output: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return BOUNDED[name](eval(code, {"torch": torch, "output": output}))

    after = report(kept)
    assert name.split()[0] in text.lower() and after.checks.loc["GS001", "status"] == "PASS"


def test_an_encoder_that_enlarges() -> None:
    """R14: what the encoder makes is normalised, and not the inputs alone."""
    torch.manual_seed(0)
    encoder, model = nn.Linear(2, 4), nn.GRU(4, 8, batch_first=True)
    encoder.weight.data *= 1000
    before = stability_report(from_torch(model, encoder=encoder), drive(), required_lag=10, tier="fast")
    space: dict[str, Any] = {"torch": torch, "encoder": encoder}
    exec(following.CODE.findall(before.recommendations[0])[0], space)
    after = stability_report(from_torch(model, encoder=space["encoder"]), drive(), required_lag=10, tier="fast")
    assert ids(before)[0] == "R14" and after.checks.loc["GS024", "status"] == "PASS"
    assert after.gradient.median > before.gradient.median + 2


@pytest.mark.parametrize("offset", [0.0, 2000.0])
def test_inputs_far_from_unit(offset: float) -> None:
    """R14 comes first, and its code centres and scales; no check of the report by itself is the user's failure."""
    torch.manual_seed(0)
    model, X = nn.LSTM(3, 8, batch_first=True), torch.randn(8, 70, 3) * 1000 + offset
    before = stability_report(model, X, required_lag=20)
    assert ids(before)[0] == "R14" and before.recommendations[0].startswith("Scale the inputs")
    assert before.checks.loc[["GS012", "GS013", "GS014"], "status"].ne("FAIL").all()
    space = {"X": X, "torch": torch, "StandardScaler": StandardScaler}
    exec(following.CODE.findall(before.recommendations[0])[0], space)
    after = stability_report(model, space["X"], required_lag=20, tier="fast")
    assert offset or after.gradient.median > before.gradient.median + 2  # beside it gates may be stuck open
    assert after.checks.loc["GS024", "status"] == "PASS" and "R14" not in ids(after)


def test_growth_that_passes() -> None:
    """R08: weights far from normal; with orthogonal ones recall is better."""

    def shear(cell: nn.Module, generator: torch.Generator) -> None:
        for part in cell.modules():
            if isinstance(part, Elman):
                part.recurrent_weight.data = 0.5 * torch.eye(16) + 2.2 * torch.diag(torch.ones(15), 1)

    data = following.recall(15, 0)
    data = data._replace(X=1e-3 * data.X, X_held_out=1e-3 * data.X_held_out)
    model = ElmanRegressor(
        hidden_size=16,
        return_sequences=False,
        scale=False,
        initialise=shear,
        learning_rate=1e-3,
        max_epochs=40,
        random_state=0,
    )
    score = model.fit(data.X, data.y).score(data.X_held_out, data.y_held_out)
    report = stability_report(model, data.X, data.y, required_lag=15, thresholds={"transient": 1.0})
    after = clone(model).set_params(**following.parameter(advised(report, "R08")["text"])).fit(data.X, data.y)
    assert after.score(data.X_held_out, data.y_held_out) > score + 0.3


def test_more_data_decide() -> None:
    """R13: as many steps as it asks for, and as many sequences."""
    cell = Linear(2, 6, generator=torch.Generator().manual_seed(0))
    nn.init.orthogonal_(cell.transition)
    short = stability_report(cell, drive(series=1, time=100), required_lag=60, tier="fast")
    enough = int(advised(short, "R13")["number"])
    assert short.verdict == "INCONCLUSIVE"
    assert stability_report(cell, drive(series=1, time=enough), required_lag=60, tier="fast").verdict == "OK"
