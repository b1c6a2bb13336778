"""The entry point: the commands, and their errors in one line.

seqdyn: what went wrong, and what to do about it        exit code 1; 2 for wrong usage; 130 after Ctrl-C
seqdyn: the model loses to the naive forecast           exit code 3, after all is written
seqdyn: note: what the library warns of                 the command goes on
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer import Option
from typer.core import TyperGroup

from seqdyn.cli.backtest import backtest
from seqdyn.cli.demo import demo
from seqdyn.cli.diagnose import diagnose
from seqdyn.cli.fit import fit
from seqdyn.cli.forecast import forecast
from seqdyn.cli.images import images_app
from seqdyn.cli.predict import predict
from seqdyn.cli.text import text_app
from seqdyn.cli.translate import translate_app

EXPECTED = (ValueError, TypeError, OSError, ImportError, FloatingPointError)
"""Errors that say all there is to say by their message; FileFormatError and NonFiniteError are among them."""


class Commands(TyperGroup):
    """The group of all commands: an error becomes one line, a warning a note; ``--debug`` may stand anywhere."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        given = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in given
        words = [word for word in given if word != "--debug"]
        with notes():
            try:
                code = super().main(words, "seqdyn", complete_var, False, windows_expand_args, **extra)
            except (KeyboardInterrupt, typer.Abort):
                code = 130
            except Exception as error:
                if debug:
                    raise
                echo_note(describe(error))
                code = getattr(error, "exit_code", 1)
            if code == 130:
                echo_note("interrupted.")
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
for command in (demo, fit, predict, forecast, backtest, diagnose):
    app.command()(command)
app.add_typer(text_app, name="text")
app.add_typer(translate_app, name="translate")
app.add_typer(images_app, name="images")


@app.callback(invoke_without_command=True)
def commands(
    context: typer.Context,
    debug: Annotated[bool, Option("--debug", help="Show the whole traceback of an error.")] = False,
    version: Annotated[bool, Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Time series and dynamical systems as stateful predictors: y_t, h_t = f(x_t, h_{t-1}).

    Start with `seqdyn demo`, which forecasts four data sets in about a minute. Then fit your own:

    \b
      seqdyn fit data.csv --time date --target y --out model.safetensors
      seqdyn predict model.safetensors new.csv --time date --out predictions.csv

    Or forecast the steps after the last row, and see whether a model is worth its trouble:

    \b
      seqdyn forecast data.csv --time date --target y --horizon 24 --out forecast.csv --plot forecast.png
      seqdyn backtest data.csv --time date --target y --horizon 24 --windows 5

    And see whether its gradients reach as far back as they have to:

    \b
      seqdyn diagnose model.safetensors data.csv --required-lag 50 --html report.html

    Or learn a text, and let it write on:

    \b
      seqdyn text fit corpus.txt --out model.safetensors
      seqdyn text generate model.safetensors --prompt "To be" --length 400

    Or learn to translate, from two files of sentences:

    \b
      seqdyn translate fit sources.txt targets.txt --out model.safetensors
      seqdyn translate predict model.safetensors sentences.txt

    Or learn pictures, draw new ones, and complete those of which a part is hidden:

    \b
      seqdyn images fit pictures.npy --out model.safetensors
      seqdyn images sample model.safetensors --n 32 --out samples.png
      seqdyn images complete model.safetensors pictures.npy --hide lower --out completed.png
    """
    if version:
        typer.echo(f"seqdyn {sys.modules['seqdyn'].__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
    if version or context.invoked_subcommand is None:
        raise typer.Exit


def run() -> None:
    """The console entry point."""
    app()


def echo_note(text: str) -> None:
    """One line on stderr."""
    typer.echo(f"seqdyn: {' '.join(text.split())}", err=True)


def describe(error: Exception) -> str:
    """What an error says, without its traceback."""
    if hasattr(error, "format_message"):  # wrong usage, in typer's own words
        context = getattr(error, "ctx", None)
        hint = f" See '{context.command_path} --help'." if context else ""
        message = error.format_message()
        return message + ("" if message.endswith((".", "?")) else ".") + hint
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, EXPECTED) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error} (an error nobody expected: --debug shows where it happened)"


@contextmanager
def notes() -> Iterator[None]:
    """Show the library's warnings as notes, each in one line and without its place in the source."""

    def note(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        echo_note(f"note: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = note
        yield
