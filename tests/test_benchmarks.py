"""The benchmarks' own arithmetic, and README.md beside what is stored; nothing here depends on how fast anything is."""

from __future__ import annotations

import doctest
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import __main__ as command
from benchmarks.speed import NAMES, cells, figure, fit, protocol, results, statistics, table
from benchmarks.speed.protocol import Case, Comparison, Row, interleave
from seqdyn import from_torch

ROOT = Path(__file__).parents[1]
TOYS = (cells.Workload(2, 3, 1, 4), cells.Workload(1, 5, 2, 6))


@pytest.fixture(scope="module")
def toy_rows() -> Iterator[list[Row]]:
    """All cells at toy sizes, three rounds, nothing repeated within a turn."""
    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "TURN", 0.0)
        yield [interleave(case, 3, seed=0) for case in cells.cases(TOYS, threads=2, speed=1e9, seed=0)]


def described(picture: Path) -> str:
    """What a picture says it was drawn from."""
    with Image.open(picture) as opened:
        return str(opened.info["Description"])


# -------------------------------------------------------------------- statistics


def test_medians_quartiles_and_intervals_of_made_up_rounds() -> None:
    found = statistics.summary([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (found.median, found.quartiles) == (3.0, (2.0, 4.0))
    assert 1.0 <= found.interval[0] <= 3.0 <= found.interval[1] <= 100.0
    assert statistics.summary([7.0] * 5) == statistics.Summary(7.0, (7.0, 7.0), (7.0, 7.0))
    assert not doctest.testmod(statistics).failed and not doctest.testmod(table).failed


def test_the_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    found = [statistics.summary(random.normal(size=40), 400).interval for _ in range(300)]
    assert 0.90 <= np.mean([low <= 0 <= high for low, high in found]) <= 0.99


@pytest.mark.parametrize(
    ("measure", "expected", "bar", "other"),
    [("ratio", 4.0, 4.0, 4.1), ("share", 0.25, 0.25, 0.2), ("excess", -3.0, -3.0, -4.0), ("value", 1.0, 1.0, 0.9)],
)
def test_comparisons_are_paired_and_know_their_side_of_the_bar(measure, expected, bar, other) -> None:
    ours, peer = [1.0, 10.0, 0.5], [4.0, 40.0, 2.0] if measure != "excess" else [4.0, 12.0, 3.6]
    found = statistics.compared(ours, peer, measure)
    assert found.median == pytest.approx(expected if measure != "excess" else -3.0)
    assert statistics.met(expected, measure, bar) and not statistics.met(expected, measure, other)


def test_a_line_is_found_with_its_relative_residuals() -> None:
    sizes = np.array([10.0, 100.0, 1e4])
    line = statistics.fitted_line(sizes, 2.0 + 0.5 * sizes)
    assert (line.fixed, line.each) == pytest.approx((2.0, 0.5))
    assert np.abs(line.residuals).max() < 1e-9
    bent = statistics.fitted_line(sizes, sizes**1.3)
    assert np.abs(bent.residuals).max() > 0.15


# -------------------------------------------------------------------- the loop


def test_contestants_take_turns_in_an_order_that_is_drawn() -> None:
    turns: list[str] = []
    contestants = {name: lambda name=name: turns.append(name) or {"seconds": 1.0} for name in "ABC"}
    row = interleave(Case({}, contestants), 20, seed=0)
    rounds = [turns[start : start + 3] for start in range(0, 60, 3)]
    assert all(sorted(one) == ["A", "B", "C"] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 3
    assert row.rounds["A"] == {"seconds": [1.0] * 20}


def test_rounds_of_several_processes_are_joined_case_by_case() -> None:
    parts = [[Row({"n": n}, {}, [], {"A": {"seconds": [value]}}) for n in (1, 2)] for value in (0.1, 0.2)]
    assert [row.rounds["A"]["seconds"] for row in protocol.joined(parts)] == [[0.1, 0.2]] * 2


def test_a_fresh_process_answers_and_its_error_is_shown() -> None:
    assert protocol.fresh(statistics.met, median=4.0, measure="ratio", bar=3.0) is True
    with pytest.raises(RuntimeError, match="KeyError: 'speed'"):
        protocol.fresh(statistics.met, median=4.0, measure="speed", bar=3.0)


# -------------------------------------------------------------------- cells at toy sizes, stored and shown


def test_cells_run_at_toy_sizes_and_agree_with_torch(toy_rows: list[Row]) -> None:
    kinds = [row.labels["cell"] for row in toy_rows]
    assert kinds[::2] == kinds[1::2] and {"GRU", "Elman", "LSTM"} <= set(kinds)
    for row in toy_rows:
        assert all(len(columns["seconds"]) == 3 for columns in row.rounds.values())
        assert all(row.facts[name] < bound for name, bound in [("output_difference", 1e-5)] if name in row.facts)


def test_weights_that_differ_are_found_before_anything_is_timed() -> None:
    with torch.random.fork_rng():
        one, other, x = torch.nn.GRU(2, 3, batch_first=True), torch.nn.GRU(2, 3, batch_first=True), torch.ones(1, 4, 2)
    with pytest.raises(AssertionError, match="the output differs from torch's by"):
        cells.check_agreement(cells.Step(from_torch(one), x), cells.Step(other, x), "GRU")


def test_what_is_stored_is_read_back_and_shown(toy_rows: list[Row], tmp_path: Path) -> None:
    results.write("cells", toy_rows, quick=True, threads=2, load=(0.5, 0.6), folder=tmp_path)
    found = results.read("cells", tmp_path)
    assert found is not None and found["versions"]["torch"] == torch.__version__
    assert found["rows"][0].labels == toy_rows[0].labels
    assert found["rows"][0].rounds["torch"]["seconds"] == pytest.approx(toy_rows[0].rounds["torch"]["seconds"], 1e-4)
    section = table.written(tmp_path)
    assert "A quick look" in section and section.count("B 2, T 3, I 1, H 4") == len(toy_rows) // 2
    assert section.count("met |") + section.count("**missed** |") == len(toy_rows)
    figure.draw(tmp_path, tmp_path / "speed.png")
    assert described(tmp_path / "speed.png") == figure.digest(tmp_path)


def test_losses_are_shown_like_wins() -> None:
    row = Row({}, {}, [], {"ours": {"seconds": [2.0, 2.0]}, "peer": {"seconds": [1.0, 1.0]}})
    told, bar = table.verdict(row, Comparison("ours", "peer", bar=3.0))
    assert told.startswith("**0.500 ×**") and bar == "≥ 3 **missed**"


def fits(losses_apart: float) -> Row:
    """A made-up row of fits, of two libraries; the losses of torch lie off ours by so much."""
    rounds = {f"GRU tuned {key}": [1.0, 2.0] for key in ("first", "seconds")} | {
        "import": [3.0, 3.0],
        "memory": [4.0, 4.0],
    }
    slow = {key: [2 * value for value in values] for key, values in rounds.items()}
    curves = {
        name: {"GRU tuned": {"losses": [losses, 0.5], "errors": [0.2, 0.1], "parameters": 7}}
        for name, losses in [("seqdyn", 1.0), ("torch", 1.0 + losses_apart)]
    }
    return fit.row(Row({}, {}, [], {"seqdyn": rounds, "torch": slow}), curves, "GRU", "tuned")


def test_a_fit_is_shown_with_the_time_to_the_target_and_how_far_its_losses_lie_from_ours() -> None:
    lines = table.of_fits("fit", [fits(0.01)])
    assert lines[3].startswith("| GRU | tuned | torch | 3.00 | **2.00 ×**") and lines[3].endswith("| 7 | 1.0% |")
    assert fits(0.01).facts["curves"]["seqdyn"]["steps_to_target"] == 2 * fit.SECTION
    with pytest.raises(AssertionError, match=r"GRU, tuned: the losses of torch lie 10.0% from seqdyn's"):
        fits(0.1)


# -------------------------------------------------------------------- the commands, and README.md


def test_list_names_every_benchmark_and_script_with_its_question() -> None:
    lines = {line.split()[0]: line.split(maxsplit=1)[1:] for line in command.listed().splitlines() if line.strip()}
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - set(command.NO_SCRIPTS)
    assert set(NAMES) | scripts <= set(lines)
    assert all(lines[name] for name in (*NAMES, *scripts))
    assert not set(NAMES) & scripts


def test_readme_shows_what_is_stored_and_nothing_else() -> None:
    readme = table.README.read_text(encoding="utf-8")
    assert table.with_section(readme, table.written()) == readme, "python -m benchmarks table"


def test_the_figure_is_of_what_is_stored() -> None:
    stored = [path for path in results.FOLDER.glob("*.json") if path.stem in figure.DRAWN]
    if not stored:
        assert not figure.PICTURE.exists()
    else:
        assert described(figure.PICTURE) == figure.digest(), "python -m benchmarks table"


def test_only_benchmarks_are_stored() -> None:
    for path in results.FOLDER.glob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["name"] == path.stem in NAMES
