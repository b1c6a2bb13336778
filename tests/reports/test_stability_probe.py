"""What a report is about: every kind of model and every container gives a cell, its inputs, and one error a step."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_sequence

from seqdyn import (
    DRAW,
    ARXRegressor,
    Autoregression,
    Captioner,
    ElmanRegressor,
    Forecaster,
    GRURegressor,
    LanguageModel,
    LSTMClassifier,
    MotionModel,
    MovingAverageRegressor,
    PixelRNN,
    SequenceAutoencoder,
    TextClassifier,
    Translator,
    from_torch,
    stability_report,
)
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Embedding, Identity, Readout, Stack
from seqdyn.dynamics.driven import Driven, StepErrors, check_errors, weighted
from seqdyn.dynamics.excerpts import excerpts
from seqdyn.dynamics.gradients import output_gradient
from seqdyn.dynamics.trajectory import Trajectory
from seqdyn.loops import scan
from seqdyn.reports.probe import Probe, probe_of
from seqdyn.state import leaves, map_leaves
from seqdyn.systems.henon import Henon
from seqdyn.training.batches import Rows

LAG = 4


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def drawn(module: nn.Module, seed: int = 0) -> Any:
    """The module with weights that do not depend on torch's global generator."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=seeded(seed)))
    return module


# --- models of every kind ---------------------------------------------------------------------------------------------

X, Y = randn(5, 30, 2).numpy(), randn(5, 30, 1, seed=1).numpy()
QUICK: dict[str, Any] = {"hidden_size": 4, "max_epochs": 1, "random_state": 0}
WORDS: dict[str, Any] = {"hidden_size": 4, "embedding_size": 4, "max_steps": 2, "random_state": 0}
TEXTS, LABELS = ["a good day", "a bad day", "good", "bad bad day"], ["+", "-", "+", "-"]
PICTURES = (np.arange(4 * 6 * 4).reshape(4, 6, 4) % 3 == 0).astype(int)
TURN = np.stack([np.sin(np.arange(120) / 4), np.cos(np.arange(120) / 4)], 1)


class Own:
    """A user's class that says how it is measured."""

    def driven_by(self, X: Any, y: Any = None) -> Driven:
        errors = None if y is None else StepErrors(lambda output, target: (output - target) ** 4, "the fourth power")
        return Driven(GRU(2, 1, generator=seeded()), Rows.of(torch.as_tensor(X), torch.as_tensor(y)), errors)


def forecast() -> tuple[Any, ...]:
    frame = pd.DataFrame({"level": np.sin(np.arange(80) / 3)}, index=pd.date_range("2024", periods=80, freq="D"))
    return Forecaster(GRURegressor(**QUICK), horizon=2).fit(frame), frame


def classify() -> tuple[Any, ...]:
    text = TextClassifier(**WORDS, bidirectional=False, pooling="last", members=1).fit(TEXTS, LABELS)
    return text, TEXTS, LABELS


def describe() -> tuple[Any, ...]:
    images, captions = np.stack([PICTURES[:, :4]] * 2).reshape(8, 4, 4) * 1.0, ["a b", "b c a"] * 4
    return Captioner(**WORDS, patch_size=2).fit(images, captions), images, captions


MODELS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "cell": lambda: (Readout(GRU(2, 4, generator=seeded()), 1, generator=seeded()), X, Y),
    "cell without targets": lambda: (Elman(2, 4, generator=seeded()), X),
    "cell of tokens": lambda: (
        Stack([Embedding(Identity(3), 5, seeded()), GRU(3, 4, generator=seeded())]),
        np.arange(90).reshape(3, 30) % 5,
    ),
    "system alone": lambda: (Henon(),),
    "torch RNN": lambda: (drawn(nn.RNN(2, 1, batch_first=True)), X, Y),
    "torch LSTM": lambda: (drawn(nn.LSTM(2, 4, num_layers=2)), torch.as_tensor(X).transpose(0, 1)),
    "regressor": lambda: (GRURegressor(**QUICK).fit(X, Y), X, Y),
    "regressor without targets": lambda: (GRURegressor(**QUICK).fit(X, Y), X),
    "quantiles": lambda: (GRURegressor(**QUICK, loss="quantile").fit(X, Y), X, Y),
    "own past": lambda: (GRURegressor(**QUICK, autoregression=Autoregression()).fit(X, X[..., :1]), X, X[..., :1]),
    "lagged": lambda: (GRURegressor(**QUICK, output_lag=3).fit(X, Y), X, Y),
    "classifier": lambda: (LSTMClassifier(**QUICK).fit(X, Y[..., 0] > 0), X, Y[..., 0] > 0),
    "one output a sequence": lambda: (
        ElmanRegressor(**QUICK, return_sequences=False).fit(X, Y[:, 0, 0]),
        X,
        Y[:, 0, 0],
    ),
    "closed form": lambda: (ARXRegressor().fit(X[0], Y[0]), X[0], Y[0]),
    "forecaster": forecast,
    "motion": lambda: (MotionModel(GRURegressor(**QUICK), rate=25.0).fit(None, TURN), None, TURN),
    "language model": lambda: (LanguageModel(**WORDS).fit("abcabd" * 20), "abcabd" * 10),
    "text classifier": classify,
    "translator": lambda: (
        Translator(**WORDS, unit="character").fit(["ab", "bca"] * 4, ["ba", "acb"] * 4),
        ["ab", "bca"],
        ["ba", "acb"],
    ),
    "captioner": describe,
    "autoencoder": lambda: (SequenceAutoencoder(code_size=2, hidden_size=4, max_steps=2, random_state=0).fit(X), X),
    "pixels": lambda: (PixelRNN(hidden_size=2, max_steps=2, random_state=0).fit(PICTURES), PICTURES),
    "glimpses": lambda: (
        DRAW(hidden_size=4, latent_size=2, glimpses=6, attention=False, max_steps=2, random_state=0).fit(PICTURES),
        PICTURES,
    ),
    "own class": lambda: (Own(), X, Y),
}
OF_AN_ESTIMATOR = set(MODELS) - {
    *("cell", "cell without targets", "cell of tokens", "system alone", "torch RNN", "torch LSTM", "own class")
}


@functools.cache
def built(name: str) -> tuple[Any, ...]:
    return MODELS[name]()


def measured(name: str, **options: Any) -> Probe:
    return probe_of(*built(name), **{"required_lag": LAG, "steps": 40} | options)


def outputs(probe: Probe) -> Tensor:
    trajectory = Trajectory(probe.cell, probe.x, probe.state)
    return torch.cat([stretch.output for stretch in trajectory.forward()], 1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", MODELS)
def test_every_model_gives_errors_step_by_step(name: str) -> None:
    """The leading axes of E are (sequences, steps), it is finite, and it can be followed."""
    probe = measured(name)
    output = outputs(probe)
    errors = probe.loss(output)
    assert errors.shape[:2] == output.shape[:2] == (probe.sequences, probe.steps)
    assert errors.isfinite().all() and probe.errors
    slopes = output_gradient(Trajectory(probe.cell, probe.x, probe.state), probe.loss)
    assert bool((slopes != 0).any())
    assert name != "one output a sequence" or not slopes[:, : probe.steps - 1].any()


@pytest.mark.parametrize("name", MODELS)
def test_the_estimator_comes_along(name: str) -> None:
    """What a report advises is asked of it, and parameters are named as the network names them."""
    probe = measured(name)
    assert (probe.estimator is not None) == (name in OF_AN_ESTIMATOR)
    assert probe.accepts(no_such_parameter=1) == (probe.estimator is None)
    assert (probe.history is not None) == (name in OF_AN_ESTIMATOR - {"closed form"})
    assert {name: name for name, _ in probe.cell.named_parameters()}.keys() == probe.names().keys()
    if name in OF_AN_ESTIMATOR - {"closed form"}:
        assert probe.accepts(learning_rate=0.1) and not probe.accepts(learning_rate=-1.0)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"system alone"}))
def test_a_given_loss_takes_the_place_of_every_model_s_own(name: str) -> None:
    """One error a step, whatever the model, with the weights of the model's targets."""
    own = measured(name)
    output = outputs(own)
    wanted = output.square().flatten(2).sum(2)
    takes_y = "without" not in name and name not in ("cell of tokens", "torch LSTM")
    loss = (lambda o, t: o.square().flatten(2).sum(2)) if takes_y else (lambda o: o.square().flatten(2).sum(2))
    probe = measured(name, loss=loss)
    errors = probe.loss(output)
    assert errors.shape == (own.sequences, own.steps) and probe.errors == "the given loss"
    counted = errors != 0
    torch.testing.assert_close(errors[counted], wanted[counted])
    assert counted[:, -1].any() if own.at_end else counted.float().mean() > 0.5


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"system alone"}))
def test_a_loss_that_averages_is_refused_of_every_model(name: str) -> None:
    with pytest.raises(ValueError, match=r'gave shape \(\) .*reduction="none"'):
        measured(name, loss=lambda output, *_: output.square().mean())


# --- the lag ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "shape", "expected"),
    [
        ({"bptt_length": 7}, (1, 200), (20, "a tenth of the sequence")),
        ({"bptt_length": 7, "required_lag": 50}, (1, 200), (50, "required_lag")),
        ({"window": 30}, (1, 200), (30, "window")),
        ({"bptt_length": 7}, (4, 40), (39, "the length of the sequences")),
        ({}, (2, 40), (4, "a tenth of the sequence")),
    ],
    ids=str,
)
def test_the_lag_is_not_that_of_the_truncation(
    options: dict[str, Any], shape: tuple[int, int], expected: tuple[int, str]
) -> None:
    """Truncation is judged by K, so K cannot be taken from it."""
    options = dict(options)
    lag = options.pop("required_lag", None)
    inputs, targets = randn(*shape, 1).numpy(), randn(*shape, 1, seed=1).numpy()
    model = GRURegressor(**QUICK, **options).fit(inputs, targets)
    probe = probe_of(model, inputs, targets, required_lag=lag)
    assert (probe.required_lag, probe.required_lag_from) == expected
    assert probe.bptt_length == options.get("bptt_length")


def test_the_window_of_an_average_is_its_lag() -> None:
    """Of the nine inputs that it averages eight are in its state."""
    model = MovingAverageRegressor(window=9).fit(X, Y)
    assert probe_of(model, X, Y).required_lag == 8


# --- layouts ----------------------------------------------------------------------------------------------------------

TORCH = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}


def same(one: Probe, other: Probe) -> None:
    """Two probes with the same numbers in them."""
    pairs = zip((*leaves(one.x), *leaves(one.state)), (*leaves(other.x), *leaves(other.state)), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    output = outputs(one)
    assert torch.equal(output, outputs(other)) and torch.equal(one.loss(output), other.loss(output))
    assert (one.unused, one.required_lag) == (other.unused, other.required_lag)


@pytest.mark.parametrize("targets", [None, "(time, series)", "(time, series, outputs)"])
@pytest.mark.parametrize("kind", TORCH)
def test_time_first_is_read_as_the_module_reads_it(kind: str, targets: str | None) -> None:
    """batch_first=False with data (time, series, inputs) is batch_first=True with the transposed data."""
    x, y = randn(50, 6, 3), randn(50, 6, 1, seed=1)
    y = None if targets is None else y[..., 0] if targets == "(time, series)" else y
    first, last = (drawn(TORCH[kind](3, 1, batch_first=flag)) for flag in (True, False))
    probe = probe_of(last, x, y)
    assert (probe.sequences, probe.steps) == (6, 50)
    assert "50 steps of 6 series, as batch_first=False says" in probe.layout
    turned = probe_of(first, x.transpose(0, 1), None if y is None else y.transpose(0, 1))
    assert not turned.layout
    same(probe, turned)


def test_a_wrapped_module_keeps_its_layout() -> None:
    x, module = randn(50, 6, 3), drawn(nn.GRU(3, 1))
    same(probe_of(nn.DataParallel(module), x), probe_of(module, x))


@pytest.mark.parametrize("made", [from_torch, lambda module: from_torch(module, drawn(nn.Linear(1, 1)))])
@pytest.mark.parametrize("kind", TORCH)
def test_a_cell_made_of_a_module_keeps_its_layout(kind: str, made: Any) -> None:
    """from_torch(module) is read as the module is, and said to be; only three axes can be either."""
    x, y = randn(50, 6, 3), randn(50, 6, 1, seed=1)
    first, last = (made(drawn(TORCH[kind](3, 1, batch_first=flag))) for flag in (True, False))
    probe = probe_of(last, x, y)
    assert probe.model == kind and (probe.sequences, probe.steps) == (6, 50)
    assert "50 steps of 6 series, as batch_first=False says" in probe.layout
    same(probe, probe_of(first, x.transpose(0, 1), y.transpose(0, 1)))
    same(probe_of(Stack([last]), x, y), probe)


def test_reports_of_both_layouts_are_one_report() -> None:
    x = randn(50, 6, 3)
    one = stability_report(drawn(nn.GRU(3, 4)), x, required_lag=10, tier="fast").content
    two = stability_report(
        drawn(nn.GRU(3, 4, batch_first=True)), x.transpose(0, 1), required_lag=10, tier="fast"
    ).content
    for part in ("verdict", "checks", "gradient", "products", "gates"):
        assert str(one[part]) == str(two[part])


@pytest.mark.parametrize("batch_first", [True, False])
def test_what_has_no_batch_has_one_layout(batch_first: bool) -> None:
    """Two axes are (time, inputs), and lists hold sequences, either way."""
    module = drawn(nn.GRU(3, 2, batch_first=batch_first))
    for given in (randn(50, 3), [randn(50, 3), randn(50, 3, seed=1)]):
        probe = probe_of(module, given)
        assert probe.sequences * probe.steps == np.size(np.stack(given)) // 3 and not probe.layout
        same(probe, probe_of(from_torch(module), given))


def test_targets_in_the_other_layout_are_refused() -> None:
    with pytest.raises(ValueError, match=r"y has shape \(6, 50\), expected \(50, 6\) .* batch_first=False"):
        probe_of(drawn(nn.GRU(3, 1)), randn(50, 6, 3), randn(6, 50))


PARTS = [randn(length, 3, seed=length) for length in (30, 36, 33)]
ASIDE = [randn(len(part), 1, seed=99) for part in PARTS]
CONTAINERS: dict[str, Callable[[list[Tensor]], Any]] = {
    "list of tensors": list,
    "tuple of tensors": tuple,
    "packed": lambda parts: pack_sequence(parts, enforce_sorted=False),
    "packed, time first": lambda parts: pack_padded_sequence(
        pad_sequence(parts), torch.tensor([len(part) for part in parts]), enforce_sorted=False
    ),
    "nested": lambda parts: torch.nested.nested_tensor(parts, layout=torch.jagged),
    "with a gradient": lambda parts: [part.clone().requires_grad_() for part in parts],
}


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("name", CONTAINERS)
def test_ragged_containers_are_lists(name: str, batch_first: bool) -> None:
    """Packed and nested sequences, with their targets beside them, in the order before packing."""
    module = drawn(nn.GRU(3, 1, batch_first=batch_first))
    wanted = probe_of(
        module, [part.numpy() for part in PARTS], [part.numpy() for part in ASIDE], required_lag=LAG, max_sequences=3
    )
    given = CONTAINERS[name](PARTS), CONTAINERS[name](ASIDE)
    same(probe_of(module, *given, required_lag=LAG, max_sequences=3), wanted)
    estimator = GRURegressor(**QUICK).fit(X, Y)
    inputs = [part[:, :2] for part in PARTS]
    plain = [part.numpy() for part in inputs], [part.numpy() for part in ASIDE]
    same(
        probe_of(estimator, CONTAINERS[name](inputs), given[1], required_lag=LAG),
        probe_of(estimator, *plain, required_lag=LAG),
    )


@pytest.mark.parametrize("batch_first", [True, False])
def test_padded_targets_beside_packed_inputs(batch_first: bool) -> None:
    """As a training loop has them; what stands at padding is not read."""
    module = drawn(nn.GRU(3, 1, batch_first=batch_first))
    packed = pack_sequence(PARTS, enforce_sorted=False)
    padded = pad_sequence(ASIDE, batch_first=batch_first, padding_value=1e6)
    same(probe_of(module, packed, padded, required_lag=LAG), probe_of(module, PARTS, ASIDE, required_lag=LAG))
    with pytest.raises(ValueError, match="3 packed sequences of up to 36 steps"):
        probe_of(module, packed, padded.transpose(0, 1), required_lag=LAG)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.bool])
def test_every_precision_is_read_as_what_it_stands_for(dtype: torch.dtype) -> None:
    x = (2 * randn(4, 40, 3)).to(dtype)
    cell = GRU(3, 2, generator=seeded())
    same(probe_of(cell, x), probe_of(cell, x.double()))
    half = drawn(nn.GRU(3, 2, batch_first=True)).bfloat16()
    same(probe_of(half, x), probe_of(drawn(nn.GRU(3, 2, batch_first=True)).bfloat16().double(), x.double()))


# --- losses -----------------------------------------------------------------------------------------------------------

SHAPES = {
    "(sequences, steps)": lambda o, t: ((o - t) ** 2).sum(2),
    "(sequences, steps, outputs)": lambda o, t: (o - t) ** 2,
    "(sequences, steps, 1)": lambda o, t: ((o - t) ** 2).sum(2, keepdim=True),
    "(sequences, steps, outputs, 2)": lambda o, t: torch.stack([0.5 * (o - t) ** 2] * 2, 3),
    "(sequences, steps, 2, outputs)": lambda o, t: torch.stack([0.5 * (o - t) ** 2] * 2, 2),
}


@pytest.mark.parametrize("size", [(4, 9, 2), (5, 5, 2), (5, 5, 5), (4, 6, 6), (6, 4, 6), (3, 4, 1)], ids=str)
@pytest.mark.parametrize("name", SHAPES)
def test_weights_meet_the_step_they_belong_to(name: str, size: tuple[int, int, int]) -> None:
    """Whichever axes are equal, a missing step sends no error, and every other step its own."""
    output, target = randn(*size), randn(*size, seed=1)
    known = torch.rand(size[:2], generator=seeded(2)) < 0.6
    weight = known.double().unsqueeze(2).expand(size)
    for own in (weight, weight[..., :1]):
        found = weighted(StepErrors(SHAPES[name], "own"), target, own)(output)
        assert found.shape[:2] == size[:2]
        squares = ((output - target) ** 2).sum(2) * known
        torch.testing.assert_close(found.flatten(2).sum(2) if found.dim() > 2 else found, squares)


def test_an_error_of_all_targets_needs_all_of_them() -> None:
    """A norm over outputs one of which is missing is not known; errors output by output are."""
    output, target = randn(3, 4, 2), randn(3, 4, 2, seed=1)
    weight = torch.ones(3, 4, 2, dtype=torch.float64)
    weight[0, 1, 0] = 0
    together = weighted(StepErrors(SHAPES["(sequences, steps)"], "own"), target, weight)(output)
    apart = weighted(StepErrors(SHAPES["(sequences, steps, outputs)"], "own"), target, weight)(output)
    assert together[0, 1] == 0 and (together[1:] != 0).all()
    assert apart[0, 1, 0] == 0 and apart[0, 1, 1] != 0


@pytest.mark.parametrize("size", [(6, 40), (40, 40)], ids=str)
@pytest.mark.parametrize("missing", [False, True])
def test_cross_entropy_as_torch_writes_it(size: tuple[int, int], missing: bool) -> None:
    """Class numbers stay whole numbers, and −ln p of every step is that of torch."""
    cell = Readout(GRU(4, 8, generator=seeded()), 5, generator=seeded())
    x, labels = randn(*size, 4), torch.randint(0, 5, size, generator=seeded(3))
    y: Any = labels
    if missing:
        y = labels.double().masked_fill(torch.rand(size, generator=seeded(4)) < 0.3, torch.nan)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        own = target.squeeze(-1) if not missing else target.squeeze(-1).long()
        return nn.functional.cross_entropy(output.transpose(1, 2), own, reduction="none")

    probe = probe_of(cell, x, y, loss=loss, required_lag=10, max_sequences=size[0])
    output = outputs(probe)
    log_p = output.log_softmax(2).gather(2, labels.unsqueeze(2)).squeeze(2)
    expected = torch.where(y.double().isnan(), 0.0, -log_p)
    torch.testing.assert_close(probe.loss(output), expected, rtol=1e-12, atol=1e-12)


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(output, target, reduction="none")


CLASS_LOSSES: dict[str, Callable[..., Tensor]] = {
    "module": nn.CrossEntropyLoss(reduction="none"),
    "module with weights": nn.CrossEntropyLoss(torch.ones(5), reduction="none"),
    "function": cross_entropy,
    "step by step": lambda o, t: -o.log_softmax(1).gather(1, t[:, None]).squeeze(1),
    "outputs turned": lambda o, t: cross_entropy(o.transpose(1, 2), t),
    "as they come": lambda o, t: -o.log_softmax(2).gather(2, t.long()),
    "NLL of logits": lambda o, t: nn.NLLLoss(reduction="none")(o.log_softmax(-1), t),
}


@pytest.mark.parametrize("size", [(6, 40), (40, 40), (6, 5), (5, 5)], ids=str)
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_losses_of_class_numbers_are_those_of_torch(name: str, missing: bool, size: tuple[int, int]) -> None:
    """−ln p of every step, in whichever form a loss takes class numbers, also where steps are as many as classes."""
    cell = Readout(GRU(4, 8, generator=seeded()), 5, generator=seeded())
    x, labels = randn(*size, 4), torch.randint(0, 5, size, generator=seeded(3))
    known = torch.rand(size, generator=seeded(4)) < (0.7 if missing else 2)
    y = labels.double().masked_fill(~known, torch.nan) if missing else labels
    probe = probe_of(cell, x, y, loss=CLASS_LOSSES[name], required_lag=2, max_sequences=size[0])
    output = outputs(probe)
    expected = -output.log_softmax(2).gather(2, labels.unsqueeze(2)).squeeze(2) * known
    torch.testing.assert_close(probe.loss(output).reshape(size), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [(6, 40), (5, 5)], ids=str)
def test_probabilities_of_classes(size: tuple[int, int]) -> None:
    """torch's loss looks for classes on axis 1, which is that of the steps: it gets them step by step."""
    cell, x = Readout(GRU(4, 8, generator=seeded()), 5, generator=seeded()), randn(*size, 4)
    target = randn(*size, 5, seed=1).softmax(2)
    probe = probe_of(cell, x, target, loss=CLASS_LOSSES["module"], required_lag=2, max_sequences=size[0])
    output = outputs(probe)
    torch.testing.assert_close(probe.loss(output), -(target * output.log_softmax(2)).sum(2))


def test_whole_numbers_beside_one_output_become_real_where_a_loss_asks() -> None:
    labels = torch.randint(0, 2, (5, 30), generator=seeded(3))
    loss = nn.BCEWithLogitsLoss(reduction="none", pos_weight=torch.tensor([2.0]))
    whole, real = (probe_of(GRU(2, 1, generator=seeded()), X, y, loss=loss) for y in (labels, labels.double()))
    same(whole, real)


def test_the_weights_of_a_loss_stay_as_they_are() -> None:
    loss = nn.CrossEntropyLoss(torch.ones(3), reduction="none")
    probe_of(GRU(2, 3, generator=seeded()), X, np.zeros((5, 30), int), loss=loss, required_lag=LAG)
    assert loss.weight is not None and loss.weight.dtype == torch.float32


BAD_CLASSES: dict[str, tuple[Any, Any, str]] = {
    "no loss": (None, np.zeros((5, 30), int), r"y has 1 columns, .* 3 outputs.* give loss, as loss=torch"),
    "an average": (nn.CrossEntropyLoss(), np.zeros((5, 30), int), r'gave shape \(\) .*reduction="none"'),
    "a class too many": (cross_entropy, np.full((5, 30), 3), r"from 3 to 3.*target.squeeze\(2\).*is out of bounds"),
    "no classes": (cross_entropy, np.full((5, 30), 0.5), r"failed on output \(5, 30, 3\)"),
}


@pytest.mark.parametrize("name", BAD_CLASSES)
def test_class_numbers_that_cannot_be_read(name: str) -> None:
    loss, y, words = BAD_CLASSES[name]
    with pytest.raises(ValueError, match=words):
        probe_of(GRU(2, 3, generator=seeded()), X, y, loss=loss, required_lag=LAG)


@pytest.mark.parametrize("time_first", [False, True])
@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 2)], ids=str)
@pytest.mark.parametrize("container", [np.asarray, torch.as_tensor, list])
def test_one_target_a_series_is_told_what_to_give(container: Any, shape: tuple[int, ...], time_first: bool) -> None:
    """The code in the message works: only the last step has an error."""
    if container is list and time_first:
        return  # a list holds sequences, and has no layout
    x, y = randn(6, 50, 3), randn(*shape).numpy()
    cell = from_torch(drawn(nn.GRU(3, (*shape, 1)[1], batch_first=not time_first)))
    x = x.transpose(0, 1) if time_first else x
    with pytest.raises(ValueError, match="one target a series, expected") as caught:
        probe_of(cell, x, container(y), required_lag=LAG)
    assert "return_sequences" not in str(caught.value)
    names: dict[str, Any] = {"numpy": np, "y": y}
    exec(str(caught.value).partition("missing: ")[2].rstrip("."), names)
    probe = probe_of(cell, x, names["steps"], required_lag=LAG)
    errors = probe.loss(outputs(probe))
    assert not errors[:, :-1].any() and bool((errors[:, -1] != 0).all())


BAD_LOSSES: dict[str, tuple[Any, str]] = {
    "an average": (lambda o, t: ((o - t) ** 2).mean(), r"gave shape \(\)"),
    "laid end to end": (lambda o, t: ((o - t) ** 2).flatten(), r"gave shape \(64,\) .*expected \(8, 8\)"),
    "averages over steps": (lambda o, t: ((o - t) ** 2).mean(1), r"gave shape \(8, 1\)"),
    "the other way round": (lambda o, t: ((o - t) ** 2).squeeze(2).T, "also depends on the output of sequence 4"),
    "spread over each other": (lambda o, t: (o.squeeze(2) - t) ** 2, "spreads shapes that do not fit"),
    "smoothness": (lambda o, t: (o - o.roll(1, 1)) ** 2, "mixes steps"),
    "of the batch": (lambda o, t: (o - o.mean(0)) ** 2, "mixes steps"),
    "constant": (lambda o, t: torch.zeros(8, 8), "compute it from the output"),
    "detached": (lambda o, t: (o.detach() - t) ** 2, "compute it from the output"),
    "a number": (lambda o, t: 1.0, "gave float"),
    "shapes that do not fit": (lambda o, t: o.reshape(4, 16) - t, r"failed on output \(8, 8, 1\)"),
    "one argument": (lambda o: o**2, "failed on output"),
}


@pytest.mark.parametrize("name", BAD_LOSSES)
def test_losses_that_are_not_step_by_step_are_refused(name: str) -> None:
    """In words, with what came and what was expected; also where series, steps and more are equal in number."""
    loss, words = BAD_LOSSES[name]
    cell, x = Readout(GRU(2, 3, generator=seeded()), 1, generator=seeded()), randn(8, 8, 2)
    with pytest.raises(ValueError, match=words):
        probe_of(cell, x, randn(8, 8, seed=1), loss=loss, required_lag=2)


def test_a_loss_that_is_no_function() -> None:
    with pytest.raises(TypeError, match="loss must be a callable"):
        probe_of(GRU(2, 3), X, loss="mse")  # type: ignore[arg-type]


def test_the_error_of_the_last_step_alone() -> None:
    """Without targets a loss may read one step of every sequence; with them the others are missing."""
    cell = GRU(2, 3, generator=seeded())
    alone = probe_of(cell, X, loss=lambda output: output[:, -1:] ** 2, required_lag=LAG)
    y = np.full((5, 30, 3), np.nan)
    y[:, -1] = 0
    beside = probe_of(cell, X, y, loss=lambda output, target: (output - target) ** 2, required_lag=LAG)
    one, two = (output_gradient(Trajectory(s.cell, s.x, s.state), s.loss) for s in (alone, beside))
    assert torch.equal(one, two) and not one[:, :-1].any()


def test_a_good_loss_is_not_refused_for_what_is_not_finite() -> None:
    """A loss that is NaN on part of the data is a finding, not a mistake in its shape."""
    check_errors(StepErrors(lambda o, t: (o - t).log(), "own"), torch.zeros(2, 9, 1), randn(2, 9, 1))


# --- where stretches begin --------------------------------------------------------------------------------------------


def test_stretches_follow_from_the_state_of_their_series() -> None:
    """h before every stretch is what the rows before it lead to, from its own series' start."""
    cell, series = GRU(2, 3, generator=seeded()).double(), [randn(40, 2), randn(20, 2, seed=1)]
    own = (randn(2, 3, seed=5),)
    states = type(cell.initial_state(1))(*own)
    found = excerpts(Driven(cell, Rows.of(series), states=states), lag=5, count=6)
    assert found.unused == 0
    for number, x in enumerate(found.x):
        part, start = next((i, t) for i, s in enumerate(series) for t in range(len(s)) if torch.equal(s[t], x[0]))
        first = type(states)(own[0][part : part + 1])
        expected = scan(cell, series[part][None, :start], first).state if start else first
        torch.testing.assert_close(leaves(found.state)[0][number], leaves(expected)[0][0])


# --- names ------------------------------------------------------------------------------------------------------------


def test_parameters_have_the_names_of_their_module() -> None:
    probe = probe_of(drawn(nn.LSTM(2, 4, num_layers=2)), torch.as_tensor(X).transpose(0, 1))
    names = probe.names()
    assert set(names) == {name for name, _ in probe.cell.named_parameters()}
    assert {"weight_hh_l0", "weight_hh_l1"} <= set(names.values())
    recurrent = next(name for name, theirs in names.items() if theirs == "weight_hh_l1")
    assert probe.name_of(recurrent) == "weight_hh_l1" and probe.name_of("bias_of_mine") == "bias_of_mine"


def test_names_survive_a_wrapper() -> None:
    """A network on its own output stands inside another cell."""
    probe = probe_of(drawn(nn.GRU(3, 3)), steps=30)
    assert "weight_hh_l0" in probe.names().values()


# --- step functions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [(1, 4), (4,)], ids=str)
@pytest.mark.parametrize("form", ["function", "module"])
def test_a_step_function_is_a_cell(form: str, state: tuple[int, ...]) -> None:
    """The same numbers as those of the recurrence written as a cell."""
    inner = drawn(nn.GRUCell(2, 4)).double()

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrence = inner

        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            h = self.recurrence(x, h)
            return h, h

    step = Step()
    given = step if form == "module" else lambda x, h: step(x, h)
    probe = probe_of(given, X, initial_state=torch.ones(state, dtype=torch.float64), required_lag=LAG)
    torch.testing.assert_close(leaves(probe.state)[0], torch.ones(5, 4, dtype=torch.float64))
    cell = from_torch(inner)
    expected = scan(cell, probe.x, type(cell.initial_state(1))(torch.ones(5, 4, dtype=torch.float64))).output
    torch.testing.assert_close(outputs(probe), expected)


@pytest.mark.parametrize("state", [(6, 4), (32, 4)], ids=str)
def test_a_batch_of_states_is_not_one_state_of_a_step(state: tuple[int, ...]) -> None:
    """As torch's users have h_0; a state that is a matrix says so by an axis in front."""

    def step(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(0.9 * h + x.sum())
        return h, h

    with pytest.raises(ValueError, match=rf"{state[0]} rows, expected one row .* \(1, 4\)\. .*h\.unsqueeze\(0\)"):
        probe_of(from_rows(step), X, initial_state=torch.zeros(state), required_lag=LAG)
    probe = probe_of(torch.func.vmap(step), X, initial_state=torch.zeros(1, *state), required_lag=LAG)
    assert leaves(probe.state)[0].shape == (5, *state)


def from_rows(step: Any) -> Any:
    """A step of single rows for a batch of them, whatever their shapes."""
    return lambda x, h: torch.func.vmap(step)(x, h)


# --- initial states ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", TORCH)
def test_states_as_torch_takes_them(kind: str, layers: int, rows: int, batch_first: bool) -> None:
    """h_0, or (h_0, c_0), of one row or a row for every series, leads to the outputs that torch gives."""
    module = drawn(TORCH[kind](2, 4, num_layers=layers, batch_first=batch_first)).double()
    parts = tuple(randn(layers, rows, 4, seed=seed) for seed in range(2 if kind == "LSTM" else 1))
    x = torch.as_tensor(X) if batch_first else torch.as_tensor(X).transpose(0, 1)
    wide = tuple(part.expand(-1, 5, -1).contiguous() for part in parts)
    expected = module(x, wide if kind == "LSTM" else wide[0])[0].detach()
    given = parts if kind == "LSTM" else parts[0]
    for model in (module, from_torch(module), from_torch(module, nn.Identity())):
        probe = probe_of(model, x, initial_state=given, required_lag=LAG)
        torch.testing.assert_close(outputs(probe), expected if batch_first else expected.transpose(0, 1))
    if rows == 1:
        flat = tuple(part[:, 0] for part in parts)
        same(probe_of(module, x, initial_state=flat if kind == "LSTM" else flat[0], required_lag=LAG), probe)


@pytest.mark.parametrize("rows", [1, 5])
def test_states_of_a_cell(rows: int) -> None:
    """One row begins every series, several begin one each."""
    cell = GRU(2, 4, generator=seeded()).double()
    state = type(cell.initial_state(1))(randn(rows, 4))
    probe = probe_of(cell, X, initial_state=state, required_lag=LAG)
    torch.testing.assert_close(leaves(probe.state)[0], state.h.expand(5, 4))
    same(probe_of(cell, X, initial_state=state.h, required_lag=LAG), probe)


def test_a_network_on_its_own_output_begins_from_a_state() -> None:
    module = drawn(nn.GRU(3, 3))
    probe = probe_of(module, steps=30, initial_state=torch.ones(1, 1, 3))
    assert leaves(probe.state)[0][0].tolist() == [1, 1, 1]  # the first stretch is the beginning


BAD_STATES: dict[str, tuple[Any, Any, str]] = {
    "rows": (
        nn.LSTM(2, 4),
        (torch.zeros(1, 3, 4),) * 2,
        r"expected \(h_0, c_0\), both of shape \(1, 1 or 5, 4\), as the L",
    ),
    "h alone": (nn.LSTM(2, 4), torch.zeros(1, 1, 4), r"expected \(h_0, c_0\)"),
    "h as two layers": (nn.LSTM(2, 4), torch.zeros(2, 1, 4), r"expected \(h_0, c_0\)"),
    "layers": (nn.GRU(2, 4, num_layers=2), torch.zeros(1, 1, 4), r"expected h_0 of shape \(2, 1 or 5, 4\)"),
    "flat": (nn.GRU(2, 4, num_layers=2), torch.zeros(4, 4), r"expected h_0 of shape \(2, 1 or 5, 4\)"),
    "width": (nn.GRUCell(2, 4), torch.zeros(1, 3), r"float32 \(1, 3\), expected h_0 of shape \(1 or 5, 4\)"),
    "no tensor": (nn.GRU(2, 4), "zeros", "initial_state is a str"),
    "of another cell": (
        GRU(2, 4),
        GRU(2, 3).initial_state(1),
        r"expected GRUState\(h=float32 \(1, 4\)\), or .* 5 series",
    ),
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_states_that_do_not_fit_are_refused(name: str) -> None:
    """With the shape that came and the one that is wanted, in the words of whoever gave it."""
    model, state, words = BAD_STATES[name]
    x = torch.as_tensor(X).transpose(0, 1) if isinstance(model, nn.RNNBase) else X
    with pytest.raises(ValueError, match=words):
        probe_of(model, x, initial_state=state, required_lag=LAG)


# --- names of what is given -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "named"),
    [(torch.zeros(4), "h"), ((torch.zeros(4), torch.zeros(4)), "h[0], h[1]"), ({"a": torch.zeros(4)}, "a")],
    ids=["one", "tuple", "dict"],
)
def test_models_and_states_have_names(start: Any, named: str) -> None:
    def leaky(x: Tensor, h: Any) -> tuple[Tensor, Any]:
        after = map_leaves(lambda leaf: 0.5 * leaf + x[..., :1], h)
        return leaves(after)[0], after

    probe = probe_of(leaky, X, initial_state=start, required_lag=LAG)
    assert (probe.model, probe.described()["state"]) == ("leaky", named)
    assert probe_of(lambda x, h: leaky(x, h), X, initial_state=start, required_lag=LAG).model == "step function"
    assert probe_of(from_torch(leaky, initial_state=start, input_size=2), X).model == "leaky"


def test_a_step_function_without_a_state() -> None:
    with pytest.raises(ValueError, match="needs an initial_state"):
        probe_of(lambda x, h: (h, h), X)


# --- bad input --------------------------------------------------------------------------------------------------------


def spoilt(value: float, shape: tuple[int, ...] = (5, 30, 2)) -> np.ndarray:
    """Numbers, of which one in series 1 at step 7 is not."""
    numbers = np.zeros(shape)
    numbers[1, 7, -1] = value
    return numbers


class Foreign:
    """An array of another library."""

    def __init__(self, values: Tensor):
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.values.numpy(), dtype)


def test_arrays_of_other_libraries() -> None:
    """Read as NumPy's, in the layout of the module."""
    x, y = randn(50, 6, 3), randn(50, 6, 1, seed=1)
    module = drawn(nn.GRU(3, 1))
    same(probe_of(module, Foreign(x), Foreign(y)), probe_of(module, x, y))


class Opaque:
    """Something of the shape of an array, without numbers."""

    ndim, shape, dtype = 3, (5, 30, 2), "object"


BAD_DATA: dict[str, tuple[Any, Any, str]] = {
    "NaN in X": (spoilt(np.nan), None, "X contains NaN in series 1 at step 7, feature 1"),
    "inf in X": (spoilt(np.inf), None, "X contains infinity .* in series 1 at step 7, feature 1"),
    "NaN in a tensor": (torch.as_tensor(spoilt(np.nan)), None, "X contains NaN in series 1 at step 7, feature 1"),
    "inf in y": (X, spoilt(np.inf, (5, 30, 1)), "y contains infinity .* in series 1 at step 7"),
    "y unknown": (X, np.full((5, 30), np.nan), "all are NaN"),
    "X on meta": (torch.zeros(5, 30, 2, device="meta"), None, "'meta', which holds no numbers"),
    "y on meta": (X, torch.zeros(5, 30, 1, device="meta"), "y is a tensor .*'meta'"),
    "too many features": (randn(5, 30, 3), None, "X has 3 features"),
    "another number of steps": (X, randn(5, 29), "29 steps"),
    "another number of series": (X, randn(4, 30), r"y has shape \(4, 30\)"),
    "too many outputs": (X, randn(5, 30, 3), "y has 3 columns"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_data_that_cannot_be_measured_are_refused(name: str) -> None:
    inputs, targets, words = BAD_DATA[name]
    for model in (Readout(GRU(2, 4), 1), drawn(nn.LSTM(2, 1, batch_first=True))):
        with pytest.raises(ValueError, match=words):
            probe_of(model, inputs, targets)


@pytest.mark.parametrize(
    "given",
    [Opaque(), object(), "text", 3.0, {"a": 1}, np.full((5, 30, 2), object()), randn(5, 30, 2).to(torch.complex128)],
    ids=lambda given: type(given).__name__,
)
def test_what_is_no_array_of_numbers_is_refused(given: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="X"):
        probe_of(GRU(2, 4), given)


@pytest.mark.parametrize("model", [nn.LSTM(2, 3, device="meta"), LSTM(2, 3).to("meta")], ids=["torch", "cell"])
def test_weights_without_numbers_are_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="on the device 'meta'"):
        probe_of(model, X)


def test_a_class_and_a_name_are_no_models() -> None:
    for model in (GRU, GRURegressor, "model.pt", None):
        with pytest.raises(TypeError, match=r"takes a Cell, a fitted estimator .*driven_by"):
            probe_of(model, X)


def test_a_missing_target_never_makes_a_loss_undefined() -> None:
    """ln of a target that is not there: it counts nothing, and is no NaN either."""
    x = torch.randn(4, 40, 2, generator=torch.Generator().manual_seed(0))
    y = torch.rand(4, 40, 1, generator=torch.Generator().manual_seed(1)) + 0.5
    y[:, :30] = math.nan
    cell = Readout(GRU(2, 4, generator=torch.Generator().manual_seed(0)), 1)
    report = stability_report(
        cell, x, y, required_lag=8, tier="fast", loss=lambda output, target: (output - target.log()) ** 2
    )
    assert report.verdict != "NOT FINITE" and report.checks.loc["GS001", "status"] == "PASS"
