"""`seqdyn translate fit | predict`: translators from two files of sentences, one a line."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from seqdyn.cli.arguments import DeviceName, Minutes, ModelFile, Seed, TestFraction, Verbosity, command_group
from seqdyn.cli.tables import check_readable
from seqdyn.cli.text import CellName, Unit
from seqdyn.cli.training import budget, check_device, check_folder, count_held_out, load_kind, run_training

if TYPE_CHECKING:
    from seqdyn.language.translation import Translator

translate_app = command_group("""Translators: learn from pairs of sentences, and translate others.

\b
  seqdyn translate fit sources.txt targets.txt --out model.safetensors
  seqdyn translate predict model.safetensors sentences.txt
""")


AttentionName = StrEnum("AttentionName", "GENERAL ADDITIVE DOT SCALED_DOT MULTI_HEAD HARD NONE")
"""How a decoder looks at its source."""


@translate_app.command("fit")
def fit_translator(
    sources: Annotated[Path, Argument(metavar="SOURCES.txt", help="Sentences, one a line.")],
    targets: Annotated[Path, Argument(metavar="TARGETS.txt", help="Their translations, line by line.")],
    out: ModelFile,
    unit: Annotated[Unit, Option(help="What a symbol is.")] = Unit.SUBWORD,
    attention: Annotated[AttentionName, Option(help="How the decoder looks at its source.")] = AttentionName.GENERAL,
    cell: Annotated[CellName, Option(help="The recurrence.")] = CellName.LSTM,
    hidden_size: Annotated[int, Option(min=1, help="Width of every layer.")] = 256,
    embedding_size: Annotated[int, Option(min=1, help="Width of the vectors of symbols.")] = 256,
    layers: Annotated[int, Option(min=1, help="Layers of the encoder, and of the decoder.")] = 1,
    dropout: Annotated[float, Option(min=0.0, max=0.99, help="Share dropped in training.")] = 0.2,
    vocabulary_size: Annotated[int | None, Option(min=1, help="Symbols of each side at most.")] = None,
    epochs: Annotated[
        int | None, Option(min=1, help="Passes over the pairs. Default: 10, or as many as 1,000 steps take.")
    ] = None,
    minutes: Minutes = None,
    test_fraction: TestFraction = 0.1,
    encoding: Annotated[str, Option(help="Of the files.")] = "utf-8",
    seed: Seed = 0,
    device: DeviceName = "auto",
    verbose: Verbosity = 0,
) -> None:
    """Learn to translate, from two files that belong together line by line.

    The last pairs are held out; they are translated at the end, for the score. Ctrl-C ends the training early and keeps
    what is learnt.

    \b
    Example:
      seqdyn translate fit de.txt en.txt --out model.safetensors --minutes 25
    """
    check_folder(out)
    left, right = (_lines(path, encoding) for path in (sources, targets))
    if len(left) != len(right):
        raise ValueError(f"{sources} has {len(left)} lines, {targets} {len(right)}: they belong together line by line.")
    check_device(device)
    from seqdyn.language.translation import Translator

    held = count_held_out(test_fraction, len(left))
    model = Translator(unit=str(unit), cell=str(cell), hidden_size=hidden_size, num_layers=layers, dropout=dropout,
                       embedding_size=embedding_size, vocabulary_size=vocabulary_size, random_state=seed, device=device,
                       attention=None if attention is AttentionName.NONE else str(attention), verbose=verbose,
                       **budget(epochs, minutes))  # fmt: skip
    typer.echo(f"pairs       {len(left)}, of which the last {held} are held out")
    typer.echo(f"model       {model}")
    cut = len(left) - held
    interrupted, seconds = run_training(lambda: model.fit(left[:cut], right[:cut]))
    _echo_fit(model, seconds)
    model.save(out)
    if held and not interrupted:
        figures = model.evaluate(left[cut:], right[cut:])
        typer.echo(f"held out    BLEU {figures['bleu']:.1f}, {figures['exact']:.1%} exact ({figures['signature']})")
    typer.echo(f"saved       {out}; translate with: seqdyn translate predict {out} sentences.txt")
    if interrupted:
        raise typer.Exit(130)


@translate_app.command("predict")
def translate_sentences(
    model: Annotated[Path, Argument(metavar="MODEL", help="A model file, written by `seqdyn translate fit`.")],
    sentences: Annotated[
        Path | None, Argument(metavar="[SENTENCES.txt]", help="One a line; standard input if left out.")
    ] = None,
    beam_width: Annotated[
        int | None, Option(min=1, help="Beams; as many as the model was made with if left out.")
    ] = None,
    language: Annotated[str | None, Option(help="Into which, where the model knows several.")] = None,
    encoding: Annotated[str, Option(help="Of the file.")] = "utf-8",
) -> None:
    """Translate sentences, one a line, to standard output.

    \b
    Example:
      seqdyn translate predict model.safetensors sentences.txt > translated.txt
    """
    translator = _load_translator(model)
    lines = _cut(sys.stdin.read()) if sentences is None else _lines(sentences, encoding)
    if beam_width is not None:
        translator.set_params(beam_width=beam_width)
    there = [line for line in lines if line.strip()]
    found = iter(translator.predict(there, language) if there else ())
    for line in lines:
        typer.echo(next(found) if line.strip() else "")


def _echo_fit(model: Translator, seconds: float) -> None:
    """What was learnt."""
    loss = "cut short" if not len(model.history_) else f"{model.history_['loss'].iloc[-1]:.4f}, smoothed"
    typer.echo(f"symbols     {len(model.source_vocabulary_)} and {len(model.vocabulary_)} {model.unit}s")
    typer.echo(f"training    {len(model.history_)} epochs, loss {loss}; {seconds:.1f} s")


def _lines(path: Path, encoding: str) -> list[str]:
    """The lines of a file; a wrong encoding is named with its offset."""
    check_readable(path)
    from seqdyn.data.text import texts

    (pieces,) = texts(path, encoding)
    lines = _cut("".join(pieces))
    if not lines:
        raise ValueError(f"{path} is empty: give one sentence a line.")
    return lines


def _cut(text: str) -> list[str]:
    """The lines of a text, at line feeds alone: other separators may stand in a sentence."""
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []


def _load_translator(path: Path) -> Translator:
    """A translator from a file."""
    check_readable(path)
    from seqdyn.language.translation import Translator

    return load_kind(path, Translator, "translator", "seqdyn translate fit")
