"""`seqdyn text fit | generate | evaluate`: language models from files of text."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from seqdyn.cli.arguments import DeviceName, Minutes, ModelFile, Seed, TestFraction, Verbosity, command_group
from seqdyn.cli.tables import check_readable
from seqdyn.cli.training import budget, check_device, check_folder, load_kind, run_training

if TYPE_CHECKING:
    from seqdyn.language.model import LanguageModel

text_app = command_group("""Language models: learn a text, write on from a prompt, say how well a text is predicted.

\b
  seqdyn text fit corpus.txt --out model.safetensors
  seqdyn text generate model.safetensors --prompt "To be" --length 400
  seqdyn text evaluate model.safetensors unseen.txt
""")


Unit = StrEnum("Unit", "CHARACTER WORD SUBWORD")
"""What a symbol is."""

CellName = StrEnum("CellName", "LSTM GRU ELMAN")
"""The recurrence."""


@text_app.command("fit")
def fit_text(
    corpus: Annotated[list[Path], Argument(metavar="CORPUS.txt…", help="Files of text, read as one.")],
    out: ModelFile,
    unit: Annotated[Unit, Option(help="What a symbol is.")] = Unit.CHARACTER,
    cell: Annotated[CellName, Option(help="The recurrence.")] = CellName.LSTM,
    hidden_size: Annotated[int, Option(min=1, help="Width of the memory.")] = 256,
    layers: Annotated[int, Option(min=1, help="Layers of that width.")] = 1,
    dropout: Annotated[float, Option(min=0.0, max=0.99, help="Share of outputs dropped in training.")] = 0.0,
    min_count: Annotated[
        int | None, Option(min=1, help="Learn symbols that appear so often. Default: 1; of words 2.")
    ] = None,
    epochs: Annotated[
        int | None, Option(min=1, help="Passes over the text. Default: 20, or as many as 1,000 steps take.")
    ] = None,
    minutes: Minutes = None,
    test_fraction: TestFraction = 0.1,
    encoding: Annotated[str, Option(help="Of the files.")] = "utf-8",
    seed: Seed = 0,
    device: DeviceName = "auto",
    verbose: Verbosity = 0,
) -> None:
    """Learn to predict the next symbol of a text.

    The end of the text is held out; the loss there is watched, and the best weights are kept. Ctrl-C ends the training
    early and keeps what is learnt.

    \b
    Example:
      seqdyn text fit corpus.txt --out model.safetensors
    """
    check_folder(out)
    for path in corpus:
        check_readable(path)
    check_device(device)
    from seqdyn.language.model import LanguageModel

    min_count = min_count or (2 if unit is Unit.WORD else 1)
    held: dict[str, Any] = {"early_stopping": True, "validation_fraction": test_fraction} if test_fraction else {}
    model = LanguageModel(unit=str(unit), cell=str(cell), hidden_size=hidden_size, num_layers=layers, dropout=dropout,
                          min_count=min_count, encoding=encoding, random_state=seed, device=device,
                          verbose=verbose, **budget(epochs, minutes), **held)  # fmt: skip
    typer.echo(f"corpus      {', '.join(map(str, corpus))}")
    typer.echo(f"model       {model}")
    interrupted, seconds = run_training(lambda: model.fit(corpus))
    _echo_training(model, seconds)
    model.save(out)
    typer.echo(f"saved       {out}; write with: seqdyn text generate {out} --prompt '…'")
    if interrupted:
        raise typer.Exit(130)


@text_app.command("generate")
def generate_text(
    model: Annotated[Path, Argument(metavar="MODEL", help="A model file, written by `seqdyn text fit`.")],
    prompt: Annotated[str, Option(help="What comes before; \\n is the end of a line.")] = "",
    length: Annotated[int, Option(min=1, help="Symbols at most.")] = 400,
    temperature: Annotated[float, Option(help="Below 1 safer, above 1 wilder.")] = 1.0,
    top_k: Annotated[int | None, Option(min=1, help="Draw from the k likeliest only.")] = None,
    top_p: Annotated[float | None, Option(help="Draw from the likeliest of this mass only.")] = None,
    greedy: Annotated[bool, Option("--greedy", help="Always take the likeliest symbol.")] = False,
    stop: Annotated[str | None, Option(help="A text that ends it; \\n is the end of a line.")] = None,
    seed: Annotated[int | None, Option(help="The same seed writes the same text.")] = None,
) -> None:
    """Write on from a prompt; the text is printed as it goes.

    \b
    Example:
      seqdyn text generate model.safetensors --prompt "To be" --length 400 --temperature 0.8
    """
    language = _load_language_model(model)
    options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    prompt, stop = prompt.replace("\\n", "\n"), None if stop is None else stop.replace("\\n", "\n")
    pieces = language.generate_iter(
        prompt, length, "greedy" if greedy else "sample", stop=stop, random_state=seed, **options
    )
    typer.echo(prompt, nl=False)
    for piece in pieces:
        typer.echo(piece, nl=False)
    typer.echo()


@text_app.command()
def evaluate(
    model: Annotated[Path, Argument(metavar="MODEL", help="A model file, written by `seqdyn text fit`.")],
    texts: Annotated[list[Path], Argument(metavar="TEXT.txt…", help="Files of text, read as one.")],
) -> None:
    """Say how well a text is predicted, in units that can be compared.

    \b
    Example:
      seqdyn text evaluate model.safetensors unseen.txt
    """
    for path in texts:
        check_readable(path)
    language = _load_language_model(model)
    for name, value in language.evaluate(texts).items():
        typer.echo(f"{name:<20} {value:,}" if isinstance(value, int) else f"{name:<20} {value:.4f}")


def _load_language_model(path: Path) -> LanguageModel:
    """A language model from a file."""
    check_readable(path)
    from seqdyn.language.model import LanguageModel

    return load_kind(path, LanguageModel, "language model", "seqdyn text fit")


def _echo_training(model: LanguageModel, seconds: float) -> None:
    """What was learnt."""
    entry = model.history_.iloc[-1] if len(model.history_) else None
    loss = "cut short before the first epoch was over" if entry is None else f"{entry['loss']:.4f} nats a symbol"
    typer.echo(f"symbols     {len(model.vocabulary_.symbols)} {model.unit}s")
    typer.echo(f"training    {len(model.history_)} epochs, {loss}; {seconds:.1f} s")
    if model.early_stopping and entry is not None:
        best = model.history_["validation_loss"].min()
        typer.echo(f"held out    {best:.4f} nats a symbol, the last {model.validation_fraction:.0%} of the text")
