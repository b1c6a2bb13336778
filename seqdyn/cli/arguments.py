"""What several commands share: their options, the error of one that is used in a wrong way, and groups of commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import BadParameter, Context, Exit, Option, Typer, echo

ModelFile = Annotated[Path, Option(help="The model file to write, *.safetensors.")]
Minutes = Annotated[float | None, Option(help="How long to train at most.")]
Seed = Annotated[int, Option(help="Of all randomness; the same seed gives the same model.")]
DeviceName = Annotated[str, Option(help="Where to train: auto, cpu or cuda.")]
TestFraction = Annotated[float, Option(min=0.0, max=0.9, help="Share of the data, its end, kept for the score.")]
Verbosity = Annotated[
    int,
    Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help="Show a progress bar; -vv: more of them, in more detail.",
    ),
]
TimeColumn = Annotated[str | None, Option("--time", help="The column of dates or numbers that the rows are sorted by.")]


def misused(option: str, text: str) -> BadParameter:
    """The error of an option that is used in a wrong way."""
    return BadParameter(text, param_hint=f"'{option}'")


def command_group(description: str) -> Typer:
    """A group of commands, which shows its help where none of them is named."""

    def show_help(context: Context) -> None:
        if context.invoked_subcommand is None:
            echo(context.get_help())
            raise Exit

    return Typer(rich_markup_mode=None, callback=show_help, invoke_without_command=True, help=description)
