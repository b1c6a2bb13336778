"""M4 Hourly beside peers: forecasts without tuning, and darts and neuralforecast with the settings of their tutorials.

    python benchmarks/m4_hourly_peers.py [--what auto network recorded neuralforecast defaults darts] [--seed 0]

All read the same rows, one after the other in one process, and are scored as in ``m4_hourly.py``. Settings of peers are
those of the pages below. What belongs to another frequency there is carried over: a horizon of 48 for 12, a season of
24 hours for 12 months, and as many gradient steps as the page's epochs are on its own data.

neuralforecast  https://nixtlaverse.nixtla.io/neuralforecast/docs/getting-started/quickstart.html
darts           https://unit8co.github.io/darts/examples/04-RNN-examples.html
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd
from m4_hourly import HORIZON, SEASON, lstm, read, ridges, timed
from measure import machine

from seqdyn import AutoForecaster, CombinedForecaster, SeasonalNaiveForecaster

QUIET: dict[str, Any] = {
    "enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu",
    "enable_checkpointing": False,
}  # fmt: skip

QUICKSTART: dict[str, dict[str, Any]] = {
    "LSTM": {"max_steps": 500, "scaler_type": "standard", "encoder_hidden_size": 64, "decoder_hidden_size": 64},
    "NHITS": {"max_steps": 100, "n_freq_downsample": [2, 1, 1]},
}
"""What neuralforecast's quickstart sets; the rest are its defaults. Its input is two horizons."""

RECURRENT: dict[str, Any] = {"model": "LSTM", "hidden_dim": 20, "dropout": 0.0, "batch_size": 16}
RECURRENT_STEPS = 300 * 7
"""darts' RNNModel: 300 epochs of 102 windows in batches of 16; its windows are 20 and 14 months."""

BLOCK: dict[str, Any] = {
    "model": "GRU", "hidden_dim": 10, "n_rnn_layers": 1, "dropout": 0.1, "batch_size": 32, "input_chunk_length": 125,
}  # fmt: skip
BLOCK_STEPS = 100 * 67
"""darts' BlockRNNModel: 100 epochs of 2,142 windows in batches of 32."""


class Neuralforecast:
    """A model of neuralforecast as a forecaster."""

    def __init__(self, kind: str, seed: int, **settings: Any) -> None:
        self.kind, self.seed, self.settings = kind, seed, settings

    def fit(self, df: pd.DataFrame) -> Neuralforecast:
        import neuralforecast.models
        from neuralforecast import NeuralForecast

        model = getattr(neuralforecast.models, self.kind)(
            h=HORIZON, input_size=2 * HORIZON, random_seed=self.seed, **self.settings, **QUIET
        )
        self.fitted_ = NeuralForecast(models=[model], freq=1)
        self.fitted_.fit(df)
        return self

    def forecast(self, horizon: int) -> pd.DataFrame:
        found = self.fitted_.predict().rename(columns={self.kind: "mean"})
        return _in_order(found.astype({"mean": float}))


class Darts:
    """A recurrent model of darts, and its scaling of every series to [0, 1], as a forecaster."""

    def __init__(self, kind: str, seed: int, steps: int, **settings: Any) -> None:
        self.kind, self.seed, self.steps, self.settings = kind, seed, steps, settings

    def fit(self, df: pd.DataFrame) -> Darts:
        import darts.models
        from darts import TimeSeries
        from darts.dataprocessing.transformers import Scaler

        series = [TimeSeries.from_values(own["y"].to_numpy("float32")) for _, own in df.groupby("unique_id")]
        self.names_ = [str(name) for name, _ in df.groupby("unique_id")]
        self.scaler_ = Scaler()
        self.scaled_ = self.scaler_.fit_transform(series)
        training = {"max_steps": self.steps, **QUIET}
        self.model_ = getattr(darts.models, self.kind)(
            n_epochs=1000, optimizer_kwargs={"lr": 1e-3}, random_state=self.seed, pl_trainer_kwargs=training,
            **self.settings,
        ).fit(self.scaled_)  # fmt: skip
        return self

    def forecast(self, horizon: int) -> pd.DataFrame:
        found = self.scaler_.inverse_transform(self.model_.predict(horizon, series=self.scaled_))
        parts = [
            pd.DataFrame({"unique_id": name, "ds": np.arange(horizon), "mean": own.values()[:, 0].astype(float)})
            for name, own in zip(self.names_, found, strict=True)
        ]
        return _in_order(pd.concat(parts))


def _in_order(found: pd.DataFrame) -> pd.DataFrame:
    """Rows as the competition's files have them: H1, H2, …, H10, …"""
    number = found["unique_id"].astype(str).str[1:].astype(int)
    return found.assign(number=number).sort_values(["number", "ds"], kind="stable")


def automatic(season: Any) -> Callable[[int], Any]:
    """AutoForecaster told the season, which times that are numbers cannot tell, and nothing else."""
    return lambda seed: AutoForecaster(horizon=HORIZON, season_length=season, random_state=seed)


def with_network(seed: int) -> AutoForecaster:
    """The same with the LSTM of ``m4_hourly.py``: by itself it tries a network on fewer rows only."""
    return AutoForecaster(
        horizon=HORIZON, season_length=SEASON, network=lstm(seed, 4000), static=("weight",), random_state=seed
    )


def recorded(seed: int) -> CombinedForecaster:
    """What is best in ``m4_hourly.py``: its LSTM and the median of its baselines, halves."""
    models = {"lstm": lstm(seed, 4000), "baselines": CombinedForecaster(models=ridges(), weights="median")}
    return CombinedForecaster(models=models, season_length=SEASON, static=("weight",))


MODELS: dict[str, dict[str, Callable[[int], Any]]] = {
    "auto": {
        "seasonal naive 24": lambda seed: SeasonalNaiveForecaster(season_length=SEASON),
        "AutoForecaster, season 24": automatic(SEASON),
        "AutoForecaster, seasons 24 and 168": automatic((SEASON, 7 * SEASON)),
    },
    "network": {"AutoForecaster with the LSTM": with_network},
    "recorded": {"LSTM and the median of the baselines": recorded},
    "neuralforecast": {
        "neuralforecast LSTM, quickstart, 500 steps": lambda seed: Neuralforecast("LSTM", seed, **QUICKSTART["LSTM"]),
        "neuralforecast NHITS, quickstart, 100 steps": lambda seed: Neuralforecast(
            "NHITS", seed, **QUICKSTART["NHITS"]
        ),
    },
    "defaults": {
        "neuralforecast LSTM, defaults, 1,000 steps": lambda seed: Neuralforecast("LSTM", seed),
        "neuralforecast NHITS, defaults, 1,000 steps": lambda seed: Neuralforecast("NHITS", seed),
    },
    "darts": {
        "darts RNNModel LSTM, windows of 40 and 28 h": lambda seed: Darts(
            "RNNModel", seed, RECURRENT_STEPS, training_length=40, input_chunk_length=28, **RECURRENT
        ),
        "darts BlockRNNModel GRU, 125 h": lambda seed: Darts(
            "BlockRNNModel", seed, BLOCK_STEPS, output_chunk_length=HORIZON, **BLOCK
        ),
        "darts BlockRNNModel LSTM, 125 h": lambda seed: Darts(
            "BlockRNNModel", seed, BLOCK_STEPS, output_chunk_length=HORIZON, **BLOCK | {"model": "LSTM"}
        ),
    },
}


def versions() -> str:
    """Those of the peers that are here."""
    found = []
    for name in ("darts", "neuralforecast"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} is not here")
    return ", ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning", "darts"):
        logging.getLogger(name).setLevel(logging.ERROR)
    print(f"{machine()}\n{versions()}, seed {chosen.seed}", flush=True)
    df, truth, past = read(validate=False)
    plain = df.drop(columns="weight")
    for group in chosen.what:
        for name, make in MODELS[group].items():
            try:
                model = make(chosen.seed)
                timed(name, model, df if group in ("network", "recorded") else plain, truth, past)
            except ImportError as error:
                print(f"  {name}: {error}")
                continue
            if isinstance(model, AutoForecaster):
                print("\n".join(f"      {line}" for line in model.summary().splitlines()), flush=True)


if __name__ == "__main__":
    main()
