"""A smoke test of the installed package: fit, predict, stream, save and load, report, from outside the checkout."""

import tempfile
from pathlib import Path

import numpy as np

import seqdyn
from seqdyn.datasets import load_sunspots


def main() -> None:
    home = Path(seqdyn.__file__).parent
    assert "site-packages" in home.parts, f"seqdyn comes from {home}, not from the installed wheel"
    assert (home / "py.typed").exists()
    series = load_sunspots()[["sunspots"]]
    X, y = series.iloc[:-1], series["sunspots"].iloc[1:]
    model = seqdyn.GRURegressor(hidden_size=8, max_epochs=20, random_state=0).fit(X, y.to_numpy())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        model.save(path)
        loaded = seqdyn.load(path)
    stream = loaded.stream()
    pushed = [stream.push(row) for row in X.to_numpy()]
    np.testing.assert_allclose(pushed, model.predict(X), rtol=1e-4, atol=1e-3)
    assert stream.forecast(5).shape == (5,)
    report = seqdyn.stability_report(model, X, y.to_numpy(), required_lag=11, tier="fast")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        report.to_html(page)
        text = page.read_text(encoding="utf-8")
    assert report.verdict in text and "<script" not in text
    assert seqdyn.StabilityReport.from_json(report.to_json()).to_json() == report.to_json()
    print(f"seqdyn {seqdyn.__version__} works from {home.name}")


if __name__ == "__main__":
    main()
