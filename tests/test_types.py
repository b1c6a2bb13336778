"""A user's script under ``mypy --strict``: public names are known, results have types, misspelt parameters are found.

mypy runs once, in a process of its own, over a script that is written here. pandas has no types of its own; a stub of
a few lines stands for it, so that a DataFrame is told from Any.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from seqdyn.lazy_names import read_stub

ROOT = Path(__file__).parents[1]
PACKAGES = ("", "datasets", "dynamics", "metrics", "motion", "phase_figures")
PANDAS = """
from typing import Any
class DataFrame:
    def __getattr__(self, name: str) -> Any: ...
class Series:
    def __getattr__(self, name: str) -> Any: ...
class Index:
    def __getattr__(self, name: str) -> Any: ...
def __getattr__(name: str) -> Any: ...
"""
HEAD = """
import numpy as np
import seqdyn

X, y = np.zeros((10, 2)), np.zeros(10)
series = seqdyn.datasets.load_sunspots()
model = seqdyn.GRURegressor(hidden_size=8)
classifier = seqdyn.LSTMClassifier(hidden_size=8)
linear = seqdyn.LinearStateSpaceRegressor(order=2)
forecaster = seqdyn.Forecaster(model, horizon=12)
language = seqdyn.LanguageModel(hidden_size=8)
"""
ARRAY, FRAME = r"numpy\.ndarray", r"pandas\.DataFrame"
REVEALED = {
    "model.fit(X, y)": r"seqdyn\.estimators\.regressors\.GRURegressor",
    "model.predict(X)": ARRAY,
    "model.score(X, y)": "float",
    "model.history_": FRAME,
    "model.stream()": r"seqdyn\.stream\.Stream",
    "model.stream().push(X[0])": ARRAY,
    "model.stream().forecast(3)": ARRAY,
    "seqdyn.LSTMRegressor(clip_norm=('quantile', 0.1))": r"seqdyn\.estimators\.regressors\.LSTMRegressor",
    "classifier.fit(X, y)": r"seqdyn\.estimators\.classifiers\.LSTMClassifier",
    "classifier.predict(X)": ARRAY,
    "classifier.predict_proba(X)": ARRAY,
    "linear.fit(X, y)": r"seqdyn\.estimators\.linear\.LinearStateSpaceRegressor",
    "linear.predict(X)": ARRAY,
    "seqdyn.ElmanRegressor().fit(X, y)": r"seqdyn\.estimators\.regressors\.ElmanRegressor",
    "seqdyn.load('file', seqdyn.GRURegressor)": r"seqdyn\.estimators\.regressors\.GRURegressor",
    "forecaster.fit(series)": r"seqdyn\.forecasting\.forecaster\.Forecaster",
    "forecaster.forecast(3)": FRAME,
    "forecaster.backtest(series, 3, 2)": r"seqdyn\.forecasting\.backtest\.Backtest",
    "forecaster.backtest(series, 3, 2).metrics()": FRAME,
    "forecaster.history_": FRAME,
    "seqdyn.AutoForecaster().fit(series)": r"seqdyn\.forecasting\.automatic\.AutoForecaster",
    "seqdyn.AutoForecaster().forecast(3)": FRAME,
    "seqdyn.NaiveForecaster().fit(series).forecast(3)": FRAME,
    "language.fit('text')": r"seqdyn\.language\.model\.LanguageModel",
    "language.generate('t', 10)": "str",
    "language.history_": FRAME,
    "seqdyn.Translator().fit(['a'], ['b']).predict(['a'])": r"list\[str\]",
    "seqdyn.TextClassifier().fit(['a'], ['b']).predict(['a'])": ARRAY,
    "seqdyn.PixelRNN().fit(X)": r"seqdyn\.images\.pixel\.PixelRNN",
    "seqdyn.MotionModel().fit(X, X)": r"seqdyn\.motion\.model\.MotionModel",
    "seqdyn.stability_report(model, X, y)": r"seqdyn\.reports\.stability\.report\.StabilityReport",
    "seqdyn.dynamics.fixed_points(seqdyn.GRU(2, 3))": r"seqdyn\.dynamics\.equilibria\.FixedPoints",
    "seqdyn.metrics.rmse(y, y)": "float",
    "seqdyn.datasets.load_sunspots()": FRAME,
}
"""An expression, and a pattern that its type begins with; of a union one member is enough."""
MISSPELT = {
    "seqdyn.GRURegressor(hiden_size=8)": "hiden_size",
    "seqdyn.LSTMClassifier(max_epoch=8)": "max_epoch",
    "seqdyn.RecurrentRegressor(cell=seqdyn.GRU(2, 3), learn_rate=0.1)": "learn_rate",
    "seqdyn.LinearStateSpaceRegressor(orders=2)": "orders",
    "seqdyn.EchoStateRegressor(hidden=8)": "hidden",
    "seqdyn.Forecaster(model, horizons=12)": "horizons",
    "seqdyn.AutoForecaster(season=12)": "season",
    "seqdyn.SeasonalNaiveForecaster(seasons=12)": "seasons",
    "seqdyn.LanguageModel(hidden=8)": "hidden",
    "seqdyn.Translator(units='word')": "units",
    "seqdyn.TextClassifier(embedding=8)": "embedding",
    "seqdyn.PixelRNN(layers=2)": "layers",
    "seqdyn.DRAW(glimpse=3)": "glimpse",
    "seqdyn.SequenceAutoencoder(hidden=8)": "hidden",
    "seqdyn.GRU(2, 3, gate='before')": "gate",
}
"""A call, and its parameter that does not exist."""


def imports() -> str:
    """One line for every public name of every package; what stands in two packages is imported twice."""
    lines = []
    for package in (f"seqdyn.{name}".rstrip(".") for name in PACKAGES):
        file = ROOT.joinpath(*package.split("."), "__init__.py")
        lines += [f"from {package} import {name} as {name}_{len(lines)}" for name in read_stub(package, str(file))]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy says of every line of the script, by the line's text; of the imports and the head under ``""``."""
    folder = tmp_path_factory.mktemp("strict")
    script = folder / "user.py"
    lines = [*(imports() + HEAD).splitlines(), *(f"reveal_type({line})" for line in REVEALED), *MISSPELT]
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "stubs" / "pandas").mkdir(parents=True)
    (folder / "stubs" / "pandas" / "__init__.pyi").write_text(PANDAS, encoding="utf-8")
    (folder / "mypy.ini").write_text(f"[mypy]\nmypy_path = {folder / 'stubs'}:{ROOT}\n", encoding="utf-8")
    cache = Path(tempfile.gettempdir()) / "seqdyn_test_types_cache"  # the second run takes seconds
    options = ["--strict", "--follow-imports=silent", "--ignore-missing-imports", f"--cache-dir={cache}"]
    command = [sys.executable, "-m", "mypy", *options, "--no-error-summary", "--config-file=mypy.ini", script.name]
    shown = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout
    found: dict[str, list[str]] = {"": []}
    named = {f"reveal_type({line})": line for line in REVEALED} | {line: line for line in MISSPELT}
    for number, text in re.findall(r"^user\.py:(\d+): (.*)$", shown, re.MULTILINE):
        found.setdefault(named.get(lines[int(number) - 1], ""), []).append(text)
    assert any(found.values()), shown
    return found


def test_every_public_name_is_exported(said: dict[str, list[str]]) -> None:
    """mypy knows every import, and finds nothing wrong with plain use."""
    assert said[""] == []


@pytest.mark.parametrize("expression", REVEALED)
def test_results_have_types(said: dict[str, list[str]], expression: str) -> None:
    """What an expression gives is known, and mypy has nothing to complain about."""
    (line,) = said[expression]
    assert re.search(rf'Revealed type is "(.* \| )?{REVEALED[expression]}', line), line


@pytest.mark.parametrize("call", MISSPELT)
def test_misspelt_parameters_are_found(said: dict[str, list[str]], call: str) -> None:
    """One error a call, and it names the parameter."""
    errors = [text for text in said.get(call, []) if text.startswith("error")]
    assert len(errors) == 1 and f'Unexpected keyword argument "{MISSPELT[call]}"' in errors[0], said.get(call)
