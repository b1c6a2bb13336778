"""The stability report as it is shown: page, figures, frame, arrays, JSON and difference agree number for number."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from seqdyn.dynamics.gates import needed_time_constant
from seqdyn.figures import figure as empty
from seqdyn.reports.json_text import exact_number, from_json, to_json
from seqdyn.reports.number_format import format_number
from seqdyn.reports.page import encode
from seqdyn.reports.pointers import look_up, pointer
from seqdyn.reports.quantities import checks_frame
from seqdyn.reports.quantities import report_arrays as arrays_of
from seqdyn.reports.quantities import report_frame as frame_of
from seqdyn.reports.stability.difference import compare_reports
from seqdyn.reports.stability.report import StabilityReport
from seqdyn.reports.stability.sections import EVIDENCE, stability_page
from seqdyn.reports.stability.themes import STABILITY_FIGURES, STABILITY_QUANTITIES, STABILITY_SCHEMA, THEMES
from tests.reports.stability_content import EVIL, NAMES, bare, broken, changed, full, sparse

CONTENTS = {"full": full, "sparse": sparse, "bare": bare, "broken": broken}
LIMIT = 250_000
"""Bytes of a page."""

HOW = {theme.name: theme.how for theme in THEMES}


def to_frame(content: dict[str, Any]) -> pd.DataFrame:
    return frame_of(content, STABILITY_QUANTITIES)


def to_xarray(content: dict[str, Any]) -> xr.Dataset:
    return arrays_of(content, STABILITY_QUANTITIES)


def read(text: str) -> dict[str, Any]:
    return from_json(text, STABILITY_SCHEMA)


def caption(name: str, content: dict[str, Any]) -> str:
    return STABILITY_FIGURES[name](content)[1]


def panel(name: str, content: dict[str, Any]) -> Any:
    """The first panel of a figure."""
    return STABILITY_FIGURES[name](content)[0].axes[0]


every_content = pytest.mark.parametrize("content", [make() for make in CONTENTS.values()], ids=list(CONTENTS))


@cache
def full_page() -> str:
    """The page with all figures, which take a second or two."""
    return stability_page(full())


class Reader(HTMLParser):
    """What a page says: its numbers with their place, tags, headings, addresses and texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.numbers: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.cell: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag == "data":
            self.numbers.append((dict(attributes), ""))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data.strip())
        if self.numbers and not self.numbers[-1][1]:
            self.numbers[-1] = (self.numbers[-1][0], data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all tags of this name."""
        return [attributes for name, attributes in self.tags if name == tag]


def same(one: Any, other: Any) -> bool:
    """Equal, NaN to NaN, and of the same types."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def single_numbers(value: Any, where: str = "") -> Iterator[str]:
    """Where the JSON has a number that is not one of a row of numbers."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from single_numbers(one, where + pointer(key))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            if isinstance(one, dict):
                yield from single_numbers(one, f"{where}/{place}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield where


# --- the page ---------------------------------------------------------------------------------------------------------


@every_content
def test_every_number_of_the_page_is_that_of_the_json(content: dict[str, Any]) -> None:
    """Shown with 4 digits, and carried with all of them."""
    stored = read(to_json(content))
    numbers = Reader(stability_page(content, minimal=True)).numbers
    assert len(numbers) > 15  # a report without norms shows its thresholds and counts
    for attributes, text in numbers:
        value = look_up(stored, str(attributes["data-pointer"]))
        assert attributes["value"] == exact_number(value), attributes
        assert text.removeprefix("≥ ") == format_number(value), attributes


@every_content
def test_every_single_number_of_the_json_is_on_the_page(content: dict[str, Any]) -> None:
    """Rows of numbers are drawn, and shown in part; all others stand in a table."""
    shown = {attributes["data-pointer"] for attributes, _ in Reader(stability_page(content, minimal=True)).numbers}
    assert set(single_numbers(json.loads(to_json(content)))) - shown == set()


def test_what_decides_stands_first() -> None:
    """The badge, the reason and the norms with their interval come before everything else; three recommendations."""
    content = full()
    page = stability_page(content, minimal=True)
    wanted = [
        "VANISHING",
        content["verdict"]["reason"],
        "ln 64",
        "−4.212",
        "−4.61",
        "−3.88",
        "GS002",
        "<details",
        '"recurrence">',
        "Not computed",
    ]
    places = [page.index(text, page.index("<body>")) for text in wanted]
    assert places == sorted(places)
    assert "R04" not in page[: page.index("<details")] and "Every check" in page
    folded = page[page.index("<details") :]
    assert folded.count("<details") == folded.count("</details>") == len(re.findall("<h2", folded))


def test_sections_keep_their_order() -> None:
    """Every theme has its own, folded; what was not computed is left out and said so."""
    anchors = re.findall(r'<details id="(\w+)">', stability_page(full(), minimal=True))
    assert anchors == [*(theme.name for theme in THEMES), "checks", "recommendations", "subject"]
    page = stability_page(sparse(), minimal=True)
    assert "Sections left out: Gradient of the loss, One step" in page and '<details id="recurrence">' not in page


@pytest.mark.parametrize("make", [full_page, lambda: stability_page(sparse())], ids=["full", "sparse"])
def test_the_page_stands_alone(make: Any) -> None:
    """No script, no address outside, no event handler."""
    page = make()
    reader = Reader(page)
    assert not reader.of("script") and not reader.of("link") and not reader.of("iframe") and "@import" not in page
    addresses = [tag[key] for _, tag in reader.tags for key in ("src", "href") if key in tag]
    assert all(re.match(r"data:image/(png;base64|svg\+xml),|#", str(address)) for address in addresses)
    bare_page = re.sub(r'"data:[^"]*"', "", page)
    assert "url(" not in bare_page and "http" not in bare_page
    assert not [key for _, tag in reader.tags for key in tag if key.startswith("on")]
    anchors = {tag["id"] for _, tag in reader.tags if "id" in tag}
    assert {str(address)[1:] for address in addresses if str(address).startswith("#")} <= anchors


def test_names_are_escaped() -> None:
    """Names from the user, wherever they stand, come out as they went in, and make no tag."""
    content = full(EVIL)
    for section in ("gates", "gradient", "training"):
        content[section] = json.loads(json.dumps(content[section]).replace("cell.bias", "@").replace('"forget"', '"@"'))
        content[section] = _renamed(content[section])
    content["subject"] |= {"cell": EVIL, "conventions": [EVIL], "not_computed": [EVIL], "versions": {EVIL: EVIL}}
    content["checks"][0] |= {"name": EVIL, "message": EVIL, "section": EVIL, "unit": EVIL}
    content["recommendations"][0]["text"] = content["verdict"]["reason"] = EVIL
    page = stability_page(content)
    reader = Reader(page)
    assert "<script" not in page and not reader.of("script")
    assert reader.text.count(EVIL) >= 12
    clean = {(name, key) for name, tag in Reader(full_page()).tags for key in tag}
    assert {(name, key) for name, tag in reader.tags for key in tag} == clean


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {EVIL if key == "@" else key: _renamed(one) for key, one in value.items()}
    return [_renamed(one) for one in value] if isinstance(value, list) else EVIL if value == "@" else value


def test_the_page_can_be_heard() -> None:
    """Headings in order, a text for every figure, headers for every row and column, statuses as words."""
    reader = Reader(full_page())
    levels = [int(name[1]) for name, _ in reader.tags if re.fullmatch(r"h\d", name)]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in pairwise(levels))
    images = reader.of("img")
    assert len(images) == len(STABILITY_FIGURES) and all(len(str(image["alt"])) > 30 for image in images)
    assert all(header["scope"] in ("col", "row") for header in reader.of("th"))
    assert reader.of("html")[0]["lang"] == "en"
    assert "width=device-width" in str([tag["content"] for tag in reader.of("meta") if tag.get("name") == "viewport"])
    assert {"PASS", "WARN", "FAIL", "SKIPPED", "ERROR"} <= set(reader.text)


def test_counts_sum_to_the_checks() -> None:
    """What the page says of each status is what its table has, SKIPPED and ERROR included."""
    content = full()
    reader = Reader(stability_page(content, minimal=True))
    counts = {
        str(attributes["data-pointer"]): int(str(attributes["value"]))
        for attributes, _ in reader.numbers
        if str(attributes["data-pointer"]).startswith("/counts/")
    }
    assert len(counts) == 5 and sum(counts.values()) == len(content["checks"]) == len(checks_frame(content))
    assert checks_frame(content)["status"].value_counts().to_dict() == content["counts"]


def large() -> dict[str, Any]:
    """As much as a report can have."""
    content, draw = full(), np.random.default_rng(1)
    content["recurrence"]["eigenvalues"] = draw.normal(size=(1024, 2)).tolist()
    content["recurrence"]["singular_values"] = draw.uniform(size=1024).tolist()
    content["gradient"] |= {
        "lags": list(range(1, 401)),
        "quantiles": {k: draw.normal(size=400).tolist() for k in NAMES},
    }
    times = list(range(64))
    content["products"]["map"] = {"times": times, "values": draw.normal(size=(64, 64)).tolist()}
    named = {f"{layer}.gate": content["gates"]["named"]["forget"] for layer in range(12)}
    content["gates"]["named"] = named
    epochs = list(range(1, 5001))
    curves = {key: draw.uniform(0.1, 1.0, size=5000).tolist() for key in ("loss", "gradient_norm", "clip_fraction")}
    parameters = {
        f"layers.{number}.weight": {key: draw.uniform(size=5000).tolist() for key in ("gradient_norm", "update_ratio")}
        for number in range(30)
    }
    none: dict[str, Any] = {"clip_coefficient": None, "steps_reached": None, "non_finite": []}
    content["training"] |= {"epochs": epochs, "parameters": parameters, **curves, **none}
    content["fixed_points"]["trajectory"] = draw.normal(size=(5000, 2)).tolist()
    content["lyapunov"]["running"] = {"steps": epochs, "values": draw.normal(size=(5000, 32)).tolist()}
    return content


@pytest.mark.parametrize("make", [broken, large])
def test_the_page_is_small(make: Any) -> None:
    """At most 250 KB with everything in it; hardly more for 1,024 units, 30 parameters and 5,000 epochs."""
    content = make()
    assert len(full_page().encode()) <= LIMIT
    assert len(stability_page(content).encode()) <= 1.15 * LIMIT
    assert len(stability_page(content, minimal=True).encode()) < 150_000
    assert "<img" not in stability_page(content, minimal=True)


def test_the_same_content_gives_the_same_page() -> None:
    """Byte for byte: again, through JSON, with sections in another order, and in another process."""
    content = full()
    page = full_page()
    assert stability_page(dict(reversed(read(to_json(content)).items())), minimal=True) == stability_page(
        content, minimal=True
    )
    script = (
        "import hashlib; from tests.reports.stability_content import full; "
        "from seqdyn.reports.stability.sections import stability_page; "
        "print(hashlib.sha256(stability_page(full()).encode()).hexdigest())"
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(root)}
    other = subprocess.run([sys.executable, "-c", script], env=environment, cwd=root, capture_output=True, check=True)
    assert other.stdout.decode().strip() == hashlib.sha256(page.encode()).hexdigest()


# --- figures ----------------------------------------------------------------------------------------------------------


@every_content
def test_figures_draw_and_leave_no_trace(content: dict[str, Any]) -> None:
    """Also of infinities and NaN; nothing global changes, and the content neither."""
    before, stored = dict(matplotlib.rcParams), copy.deepcopy(content)
    drawings = [figure(content)[0] for figure in STABILITY_FIGURES.values() if figure.drawable(content)]
    for drawing in [*drawings, StabilityReport(content).plot()]:
        assert isinstance(drawing, Figure)
        FigureCanvasAgg(drawing).draw()
    assert dict(matplotlib.rcParams) == before and same(content, stored)


@pytest.mark.parametrize("name", [*STABILITY_FIGURES, "overview"])
def test_no_label_is_cut_off(name: str) -> None:
    """All that is drawn lies inside its figure, with a long name of a parameter too."""
    content = full()
    sent = content["gradient"]["parameters"]["log10"]
    sent["layers.0.cell.a_rather_long_name_of_a.recurrent_weight"] = sent["cell.bias"]
    drawing = StabilityReport(content).plot() if name == "overview" else STABILITY_FIGURES[name](content)[0]
    canvas = FigureCanvasAgg(drawing)
    canvas.draw()
    box, (width, height) = drawing.get_tightbbox(canvas.get_renderer()), drawing.get_size_inches()
    assert box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01


def test_norms_show_what_the_content_says() -> None:
    """Medians are drawn as they are, the required lag is a line, and a norm of 0 a triangle at the edge."""
    axes = panel("norms_by_lag", full())
    lines = {str(line.get_label()): line for line in axes.lines}
    np.testing.assert_array_equal(lines["product ‖P‖ of states"].get_ydata(), full()["products"]["quantiles"]["p50"])
    np.testing.assert_array_equal(lines["required lag 64"].get_xdata(), [64, 64])
    assert "float32 rounding" in lines
    axes = panel("norms_by_lag", sparse())
    assert [len(np.asarray(line.get_xdata())) for line in axes.lines if line.get_marker() == "v"] == [8]


def test_guides_are_powers() -> None:
    """ρ^k, σ₁^k and e^{λ₁ k} are straight in the logarithm."""
    content = full()
    axes = panel("norms_by_lag", content)
    lines = {str(line.get_label()): line for line in axes.lines}
    lags, values = (np.asarray(data) for data in lines["ρᵏ, spectral radius"].get_data())
    np.testing.assert_allclose(values, lags * np.log10(content["recurrence"]["spectral_radius"]))
    lags, values = (np.asarray(data) for data in lines["exp(λ₁k), Lyapunov"].get_data())
    np.testing.assert_allclose(values, lags * content["lyapunov"]["exponents"][0] / np.log(10))


def test_the_map_is_centred() -> None:
    """White is 0: what neither grows nor decays."""
    axes = panel("product_map", full())
    low, high = axes.images[0].get_clim()
    assert low == -high < 0


def test_what_was_not_computed_cannot_be_drawn() -> None:
    """It says what is missing; every figure but the norms needs what a sparse report does not have."""
    for name, figure in STABILITY_FIGURES.items():
        if name != "norms_by_lag":
            with pytest.raises(ValueError, match="it was not computed"):
                figure(sparse())
    assert set(EVIDENCE) < set(STABILITY_FIGURES) and len(STABILITY_FIGURES) == sum(
        len(theme.figures) for theme in THEMES
    )


# --- captions and how to read them ------------------------------------------------------------------------------------


def test_units_hold_as_long_as_the_check_of_the_gates_asks() -> None:
    """Caption, figure and check GS017 hold the time constants against the same number."""
    content = full()
    content["subject"]["required_lag"] = 12
    content["gates"]["named"] = {"forget": content["gates"]["named"]["forget"] | {"time_constants": [1.0, 2.0, 6.0]}}
    least = needed_time_constant(12, content["subject"]["thresholds"]["vanishing_warn"])
    assert least == pytest.approx(12 / math.log(1000)) and 1 < least < 2
    assert caption("gate_time_constants", content) == (
        "Time constants: 2 of 3 units have at least 1.737 steps, which keep 0.001 of a gradient over the required lag "
        "of 12 steps."
    )
    axes = panel("gate_time_constants", content)
    lines = {str(line.get_label()): line for line in axes.lines}
    np.testing.assert_array_equal(lines["needed for it, 1.737"].get_ydata(), [least, least])
    content["subject"]["thresholds"]["vanishing_warn"] = 0.0  # nothing may be lost
    assert "have at least 12 steps" in caption("gate_time_constants", content)
    assert "vanishing warn" in HOW["gates"]  # the name of the threshold in the table of them


def test_unstable_is_what_leads_away() -> None:
    """A slow point is none, and a marginal one neither: in caption, table and figure."""
    content = full()
    points = content["fixed_points"]
    points["kinds"], points["index"] = ["stable node", "marginal", "saddle", "slow"], [0, 0, 1, 2]
    points["stable"] = [True, False, False, False]
    assert caption("fixed_point_plane", content) == "4 points: 1 stable, 1 unstable, 1 marginal, 1 slow."
    page = stability_page(content, minimal=True)
    rows = {kind: re.findall(rf"<tr>(?:(?!</tr>).)*{kind}.*?</tr>", page, re.DOTALL) for kind in ("marginal", "saddle")}
    assert ["unstable" in "".join(found) for found in rows.values()] == [False, True]
    axes = panel("fixed_point_plane", content)
    labels = {str(line.get_label()) for line in axes.lines}
    assert {"stable (1)", "unstable (1)", "marginal (1)", "slow (1)"} <= labels


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (0.1, "falls to 10 % or less at lag 8."),
        (0.5, "falls to 50 % or less at lag 1."),
        (0.025, "falls to 2.5 % or less at lag 32."),
        (-1.0, "stays above −100 % at every lag."),
    ],
)
def test_truncation_is_held_against_its_threshold(most: float, expected: str) -> None:
    """The number of check GS015."""
    content = full()
    content["subject"]["thresholds"]["truncated"] = most
    assert caption("truncation_share", content).endswith(expected)


def test_one_is_singular() -> None:
    """One step, one unit, one epoch, one point; never "1 steps"."""
    content = full()
    content["subject"]["required_lag"] = 1
    content["recurrence"] |= {"eigenvalues": [[0.5, 0.0]], "singular_values": [0.5]}
    content["products"]["singular"]["steps"] = 1
    content["lyapunov"]["exponents"] = content["lyapunov"]["exponents"][:1]
    content["lyapunov"]["standard_errors"] = content["lyapunov"]["standard_errors"][:1]
    content["lyapunov"]["running"] = {"steps": [1], "values": [[0.1]]}
    content["lyapunov"]["finite_time"] = {"lag": 1, "values": [0.1]}
    content["gates"]["named"]["forget"]["time_constants"] = [2.0]
    content["training"] = _first(content["training"])
    content["fixed_points"] |= {key: value[:1] for key, value in content["fixed_points"].items() if key != "trajectory"}
    captions = {name: caption(name, content) for name in STABILITY_FIGURES}
    for name, words in captions.items():
        assert not re.search(r"\b1 \w+s\b(?! of)", words.replace("1 was", "")), (name, words)
    assert captions["training_timeline"].endswith("; 1 step was not finite.")
    assert captions["growth_rates"] == "Growth rates over 1 step: 1 of 1 piece grows."
    assert "Norms at the required lag of 1 step<" in stability_page(content, minimal=True)


def _first(training: Any) -> Any:
    """The first epoch of a training."""
    if isinstance(training, dict):
        return {key: _first(one) for key, one in training.items()}
    return training[:1] if isinstance(training, list) else training


def test_growth_is_chaos_only_where_it_is_bounded_and_alone() -> None:
    """A driven model with λ₁ > 0 is not called chaotic, and a linear one that grows neither."""
    how = HOW["lyapunov"]
    assert "must explode" not in how
    assert "two initial states of a driven model never converge" in how
    assert "chaotic if its state stays bounded, and grows if it does not" in how


def test_a_drawing_keeps_every_digit_of_its_words() -> None:
    """Only paths and places are rounded to what an eye can see: a title says what the JSON holds."""
    drawing, axes = empty()
    axes.plot([0.123456, 0.654321])
    axes.set_title("ρ = 0.77564, and 7.2387 steps")
    data = encode(drawing).data.decode()
    assert "ρ = 0.77564, and 7.2387 steps" in data and len(data) < 10_000
    radius = format_number(full()["recurrence"]["spectral_radius"])
    assert f"ρ = {radius}" in encode(STABILITY_FIGURES["eigenvalue_plane"](full())[0]).data.decode()


def test_what_says_nothing_has_no_column() -> None:
    """Units where there are none, and a measure that was never taken."""
    content = full()
    content["training"]["steps_reached"] = [math.nan] * len(content["training"]["epochs"])
    page = stability_page(content, minimal=True)
    assert "share of steps the gradient reaches" not in page and "share of clipped steps" in page


# --- frames and arrays ------------------------------------------------------------------------------------------------


@every_content
def test_the_frame_holds_the_content(content: dict[str, Any]) -> None:
    """Products and gradients by lag in one frame, equal to the content."""
    frame = to_frame(content)
    assert frame.dtypes["lag"] == "Int64" and frame.dtypes["value"] == "float64"
    for section, quantity in (("products", "product"), ("gradient", "gradient")):
        if content[section]:
            found = frame[frame["quantity"] == quantity].pivot(index="lag", columns="quantile", values="value")
            for name, level in zip(NAMES, (0.05, 0.25, 0.5, 0.75, 0.95), strict=True):
                np.testing.assert_array_equal(found[level], content[section]["quantiles"][name])


def test_the_frame_has_every_section() -> None:
    """Spectra, gates, training, horizons and single numbers."""
    content, frame = full(), to_frame(full())
    by_name = frame.set_index("quantity")
    assert by_name.loc["spectral radius ρ", "value"] == content["recurrence"]["spectral_radius"]
    assert len(by_name.loc["eigenvalue, real part"]) == 64 and len(by_name.loc["horizon"]) == 4
    assert by_name.loc["Lyapunov exponent", "unit"].unique().tolist() == ["nats per step"]
    assert set(by_name.loc["mean", "name"]) == set(content["gates"]["named"])
    assert len(by_name.loc["update ratio"]) == 5 * 200
    assert to_frame(bare()).columns.tolist() == frame.columns.tolist()


def test_the_frame_of_checks() -> None:
    """One row a check, missing values as NaN."""
    frame = checks_frame(full())
    assert frame.loc["GS002", "status"] == "WARN" and frame.loc["GS002", "value"] == -4.2123456789
    assert math.isnan(frame.loc["GS006", "value"]) and len(checks_frame(bare())) == 0


@every_content
def test_arrays_hold_the_content(content: dict[str, Any], tmp_path: Path) -> None:
    """By label, and through netCDF."""
    dataset = to_xarray(content)
    for section, name in (("products", "product"), ("gradient", "gradient")):
        if content[section]:
            found = dataset[name].sel(lag=content[section]["lags"], quantile=0.5)
            np.testing.assert_array_equal(found, content[section]["quantiles"]["p50"])
    assert dataset.attrs["verdict"] == content["verdict"]["name"]
    dataset.to_netcdf(tmp_path / "report.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "report.nc", engine="scipy") as stored:
        assert set(stored.data_vars) == set(dataset.data_vars)


def test_arrays_have_names_for_their_axes() -> None:
    """Exponents, gates and units, parameters and bands, epochs."""
    content, dataset = full(), to_xarray(full())
    assert {"lag", "quantile", "exponent", "gate", "unit", "parameter", "band", "epoch", "check"} <= set(dataset.dims)
    assert float(dataset["exponents"].sel(exponent=1)) == content["lyapunov"]["exponents"][0]
    assert dataset["exponents"].attrs["units"] == "nats per step"
    np.testing.assert_array_equal(
        dataset["unit_mean"].sel(gate="forget"), content["gates"]["named"]["forget"]["unit_means"]
    )
    assert float(dataset["lyapunov_lyapunov_time"]) == math.inf
    assert dataset["product_map"].dims == ("time", "start")


# --- JSON -------------------------------------------------------------------------------------------------------------


@every_content
@pytest.mark.parametrize("indent", [2, None])
def test_json_comes_back_exactly(content: dict[str, Any], indent: int | None) -> None:
    """Every number to the last bit, every type, every text."""
    text = to_json(content, indent)
    assert same(read(text), content)
    assert to_json(read(text), indent) == text
    json.loads(text, parse_constant=pytest.fail)


@pytest.mark.parametrize("name", ["inf", "-inf", "nan", "\\inf", "\\\\nan", "NaN", "", EVIL, "名前\u2028"])
def test_texts_that_read_like_numbers_stay_texts(name: str) -> None:
    """A model may be called inf."""
    content = full(name)
    content["gates"]["named"][name] = content["gates"]["named"].pop("forget")
    assert same(read(to_json(content)), content)


def test_json_is_sorted_and_says_what_it_is() -> None:
    """The order of the sections does not matter."""
    content = full()
    text = to_json(content)
    assert to_json(dict(reversed(content.items()))) == text
    assert json.loads(text)["schema"] == {"name": "seqdyn.stability_report", "version": 1}
    assert json.loads(text)["lyapunov"]["lyapunov_time"] == "inf"


def test_a_report_reads_the_same_after_its_json(tmp_path: Path) -> None:
    """Also as a text; and a path that is given as a text is named."""
    report = StabilityReport(full())
    report.to_json(tmp_path / "report.json")
    assert str(StabilityReport.from_json(tmp_path / "report.json")) == str(report)
    with pytest.raises(ValueError, match="To read a file, give pathlib.Path"):
        StabilityReport.from_json(str(tmp_path / "report.json"))


REFUSED = [
    ("", "not the JSON"),
    ("{", "not the JSON"),
    ("[" * 100_000, "not the JSON"),
    ("[]", "got a list"),
    ("3", "got a int"),
    ("{}", "has a schema with the name"),
    ('{"schema": 1}', "has a schema with the name"),
    ('{"schema": {"name": "another.report", "version": 1}}', "another kind of file"),
    ('{"schema": {"name": "seqdyn.stability_report", "version": 2}}', "install a newer one"),
    ('{"schema": {"name": "seqdyn.stability_report", "version": "1"}}', "whole number from 1"),
    ('{"schema": {"name": "seqdyn.stability_report", "version": true}}', "whole number from 1"),
    ('{"schema": {"name": "seqdyn.stability_report"}}', "whole number from 1"),
    ('{"schema": {"name": "seqdyn.stability_report", "version": 1}}', "damaged.*subject.*verdict"),
    ('{"schema": {"name": "seqdyn.stability_report", "version": NaN}}', "bare word NaN"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_no_report_is_refused(text: str, message: str) -> None:
    """With a ValueError that says why."""
    with pytest.raises(ValueError, match=message):
        read(text)


def test_sections_of_the_wrong_kind_are_refused() -> None:
    """A list is no recurrence."""
    damaged = to_json(full() | {"recurrence": [1.0], "checks": {}})
    with pytest.raises(ValueError, match="checks is a dict, expected a list; recurrence is a list, expected a dict"):
        read(damaged)
    with pytest.raises(TypeError, match="reads a text, got bytes"):
        read(b"{}")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.float32(1.0), np.arange(3), (1, 2), {1: 2}, object()])
def test_what_json_does_not_know_is_refused(value: Any) -> None:
    """With its place."""
    with pytest.raises(TypeError, match="/recurrence/henrici"):
        to_json(changed(full(), recurrence={"henrici": value}))


# --- two reports ------------------------------------------------------------------------------------------------------


def better() -> dict[str, Any]:
    """After a change: no longer vanishing."""
    content = changed(full(), verdict={"name": "OK", "severity": "PASS", "reason": "It reaches 64 steps."})
    content["verdict"]["gradient"] = {"median": -0.4, "low": -0.6, "high": -0.2}
    content["checks"][1] |= {"status": "PASS", "value": -0.4}
    del content["checks"][5]
    content["horizons"][1]["steps"] = 120.0
    content["lyapunov"] = None
    return content


def test_the_difference_says_what_changed() -> None:
    """Verdict, checks, numbers and horizons."""
    difference = compare_reports(full(), better())
    assert set(difference) == {"verdict", "checks", "numbers", "horizons", "norms"} and len(difference) == 5
    assert [(one["id"], one["before"], one["after"]) for one in difference["checks"]] == [
        ("GS002", "WARN", "PASS"),
        ("GS006", "SKIPPED", "absent"),
    ]
    frame = difference.to_frame().set_index("quantity")
    assert frame.loc["gradient at the required lag", "difference"] == -0.4 + 4.2123456789
    assert frame.loc["gradient horizon", "difference"] == 90.0
    assert math.isnan(frame.loc["largest Lyapunov exponent λ₁", "after"])
    assert frame.loc["condition of the longest product", "difference"] == 0.0
    text = str(difference)
    assert text.startswith("VANISHING → OK") and "GS002 gradient at the required lag: WARN → PASS" in text
    assert repr(difference) == "StabilityDifference(verdict=VANISHING → OK, checks_changed=2)"
    assert "WARN → PASS" in difference._repr_html_() and difference.summary() == text


def test_nothing_changed() -> None:
    """A report beside itself."""
    difference = compare_reports(full(), full())
    assert str(difference).splitlines() == [
        "Still VANISHING; log10 of the gradient at the required lag 64 went from −4.212 to −4.212.",
        "No check changed its status.",
    ]
    assert (difference.to_frame()["difference"].dropna() == 0).all()


def test_the_difference_is_a_page_and_a_figure() -> None:
    """Before dashed; escaped; its numbers are those of the mapping."""
    difference = compare_reports(full(EVIL), changed(better(), subject={"model": EVIL}))
    page = difference.to_html()
    assert "<script" not in page and len(page) < 300_000 and page == difference.to_html()
    reader = Reader(page)
    values = [attributes["value"] for attributes, _ in reader.numbers]
    for one in difference["numbers"]:
        assert {exact_number(one["before"]), exact_number(one["after"]), exact_number(one["difference"])} <= set(values)
    assert "<img" not in difference.to_html(minimal=True)
    (axes,) = difference.plot().axes
    styles = {str(line.get_label()): line.get_linestyle() for line in axes.lines}
    assert styles["gradient, before"] == "--" and styles["gradient, after"] == "-"


@pytest.mark.parametrize("before", CONTENTS.values())
@pytest.mark.parametrize("after", CONTENTS.values())
def test_any_two_reports_can_be_compared(before: Any, after: Any) -> None:
    """Whatever was not computed."""
    difference = compare_reports(before(), after())
    assert difference.to_html(minimal=True) and str(difference) and len(difference.to_frame()) >= 2


def test_other_required_lags_are_refused() -> None:
    """Unless asked for."""
    other = changed(full(), subject={"required_lag": 128})
    with pytest.raises(ValueError, match="required lag is 64 before and 128 after.*other_lag=True"):
        compare_reports(full(), other)
    assert "(64 before, 128 after)" in str(compare_reports(full(), other, other_lag=True))
    with pytest.raises(TypeError, match="after must be a report or its content, got int"):
        compare_reports(full(), 3)
    with pytest.raises(ValueError, match="nothing to draw"):
        compare_reports(bare(), bare()).plot()


def test_reports_are_taken_by_their_content() -> None:
    """An object that has ``content`` will do."""

    class Report:
        content = full()

    assert dict(compare_reports(Report(), Report())["verdict"]) == compare_reports(full(), full())["verdict"]
