"""`seqdyn images fit | sample | complete`: models of pictures from a NumPy file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from seqdyn.cli.arguments import DeviceName, Minutes, ModelFile, Seed, TestFraction, Verbosity, command_group
from seqdyn.cli.tables import check_readable
from seqdyn.cli.training import budget, check_device, check_folder, count_held_out, load_kind, run_training

if TYPE_CHECKING:
    import numpy as np

    from seqdyn.images.draw import DRAW
    from seqdyn.images.pixel import PixelRNN

    Array = np.ndarray[Any, Any]

images_app = command_group("""Models of pictures: learn them, draw new ones, complete those of which a part is hidden.

\b
  seqdyn images fit pictures.npy --out model.safetensors
  seqdyn images sample model.safetensors --n 32 --out samples.png
  seqdyn images complete model.safetensors pictures.npy --hide lower --out completed.png
""")

ROWS = 64
"""A picture of pictures has so many rows at most."""


ModelName = StrEnum(
    "ModelName", {"DIAGONAL": "diagonal", "ROW": "row", "DRAW": "draw", "DRAW_ATTENTION": "draw-attention"}
)
"""How a picture is written."""

Hidden = StrEnum("Hidden", "LOWER UPPER LEFT RIGHT")
"""Which half of a picture is hidden."""


@images_app.command("fit")
def fit_images(
    pictures: Annotated[
        Path, Argument(metavar="PICTURES.npy", help="An array of whole numbers (pictures, height, width).")
    ],
    out: ModelFile,
    model: Annotated[
        ModelName, Option(help="How it is written: pixel by pixel along diagonals or rows, or in glimpses.")
    ] = ModelName.DIAGONAL,
    threshold: Annotated[
        float | None, Option(help="Make grey pictures black and white: 1 where a pixel is at least this.")
    ] = None,
    levels: Annotated[
        int | None, Option(min=2, help="Values of a pixel, of diagonal and row alone. Default: 2.")
    ] = None,
    hidden_size: Annotated[int | None, Option(min=1, help="Width of the memory; the model's own if left out.")] = None,
    layers: Annotated[int | None, Option(min=1, help="Recurrences, of diagonal and row alone. Default: 1.")] = None,
    glimpses: Annotated[int | None, Option(min=1, help="Steps of draw. Default: 10.")] = None,
    epochs: Annotated[
        int | None, Option(min=1, help="Passes over the pictures. Default: 20, or as many as 2,000 steps take.")
    ] = None,
    minutes: Minutes = None,
    test_fraction: TestFraction = 0.1,
    seed: Seed = 0,
    device: DeviceName = "auto",
    verbose: Verbosity = 0,
) -> None:
    """Learn pictures.

    The last pictures are held out, for the score. Ctrl-C ends the training early and keeps what is learnt.

    \b
    Example:
      seqdyn images fit digits.npy --threshold 8 --out model.safetensors
    """
    check_folder(out)
    given = _read_pictures(pictures, threshold)
    check_device(device)
    shared = budget(epochs, minutes) | {"random_state": seed, "device": device, "verbose": verbose}
    shared |= {} if hidden_size is None else {"hidden_size": hidden_size}
    own = _untrained_model(model, given, {"levels": levels, "layers": layers, "glimpses": glimpses}, shared)
    held = count_held_out(test_fraction, len(given))
    typer.echo(f"pictures    {given.shape}, of which the last {held} are held out")
    typer.echo(f"model       {' '.join(str(own).split())}")
    cut = len(given) - held
    interrupted, seconds = run_training(lambda: own.fit(given[:cut]))
    typer.echo(f"training    {len(own.history_)} epochs; {seconds:.1f} s")
    own.save(out)
    if held and not interrupted:
        typer.echo(f"held out    {_scored(own, given[cut:])}")
    typer.echo(f"saved       {out}; draw with: seqdyn images sample {out} --out samples.png")
    if interrupted:
        raise typer.Exit(130)


@images_app.command()
def sample(
    model: Annotated[Path, Argument(metavar="MODEL", help="A model file, written by `seqdyn images fit`.")],
    out: Annotated[Path, Option(help="What to write: *.npy the numbers, *.png a picture of all.")],
    n: Annotated[int, Option(min=1, help="How many.")] = 16,
    seed: Annotated[int, Option(help="The same seed draws the same pictures.")] = 0,
) -> None:
    """Draw new pictures.

    \b
    Example:
      seqdyn images sample model.safetensors --n 32 --out samples.png
    """
    _check_written(out)
    own = _load_images_model(model)
    images = own.sample(n, random_state=seed)
    columns = min(n, 16)
    rows = [list(images[start : start + columns]) for start in range(0, n, columns)]
    _write_pictures(out, images, rows, getattr(own, "levels", 2))


@images_app.command()
def complete(
    model: Annotated[Path, Argument(metavar="MODEL", help="A model file of rows or diagonals.")],
    pictures: Annotated[Path, Argument(metavar="PICTURES.npy", help="Pictures such as the model was fitted on.")],
    out: Annotated[Path, Option(help="What to write: *.npy the numbers, *.png occluded, completed, truth.")],
    hide: Annotated[Hidden, Option(help="Which half is hidden.")] = Hidden.LOWER,
    mask: Annotated[Path | None, Option(help="Instead: a *.npy file of bool, True where a pixel is known.")] = None,
    n: Annotated[int, Option(min=1, help="Completions of every picture.")] = 4,
    threshold: Annotated[float | None, Option(help="As in fit.")] = None,
    seed: Annotated[int, Option(help="The same seed draws the same completions.")] = 0,
) -> None:
    """Draw what is hidden of pictures, given what comes before: exactly, where nothing known comes after.

    \b
    Example:
      seqdyn images complete model.safetensors digits.npy --hide lower --n 4 --out completed.png
    """
    _check_written(out)
    given = _read_pictures(pictures, threshold)
    from seqdyn.data.pictures import as_pictures
    from seqdyn.images.pixel import PixelRNN

    own = _load_images_model(model)
    if not isinstance(own, PixelRNN):
        raise TypeError(f"{model} holds a DRAW, which sees whole pictures: fit one with --model row or diagonal.")
    given = as_pictures(given, own.levels)[:, 0]
    known = _half(hide, given.shape[1:]) if mask is None else _array(mask)
    found = own.complete(given, known, n, random_state=seed)
    exact = "exactly" if found.exact.all() else "not exactly: what is known after a hidden pixel has no say"
    typer.echo(f"drawn from p(hidden | known), {exact}")
    import numpy as np

    hidden = np.where(np.broadcast_to(known, given.shape), given, np.nan)
    rows = [[one, *several, truth] for one, several, truth in zip(hidden, found.images, given, strict=True)]
    _write_pictures(out, found.images, rows, own.levels)


def _untrained_model(
    name: ModelName, images: Array, options: dict[str, int | None], shared: dict[str, Any]
) -> PixelRNN | DRAW:
    """A model for such pictures; options that mean nothing to it are an error."""
    from seqdyn.data.pictures import as_pictures
    from seqdyn.images.draw import DRAW
    from seqdyn.images.pixel import PixelRNN

    painted = name in (ModelName.DRAW, ModelName.DRAW_ATTENTION)
    for option, value in options.items():
        if value is not None and (option == "glimpses") != painted:
            raise ValueError(f"--{option} is no option of --model {name}: leave it out.")
    if not painted:
        levels = options["levels"] or 2
        as_pictures(images, levels)
        return PixelRNN(variant=str(name), levels=levels, num_layers=options["layers"] or 1, **shared)
    channels, size = images.shape[1] if images.ndim == 4 else 1, min(5, *images.shape[-2:])
    as_pictures(images, 2, channels)
    shared |= {"attention": name is ModelName.DRAW_ATTENTION, "read_size": size, "write_size": size}
    return DRAW(glimpses=options["glimpses"] or 10, channels=channels, **shared)


def _array(path: Path) -> Array:
    """The array of a .npy file; never a pickle."""
    import numpy as np

    check_readable(path)
    try:
        found: Array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise ValueError(f"{path} is no NumPy file of numbers: write one with numpy.save(path, array).") from None
    if not isinstance(found, np.ndarray):
        raise ValueError(f"{path} holds several arrays: give one, as numpy.save writes it.")
    return found


def _read_pictures(path: Path, threshold: float | None) -> Array:
    found = _array(path)
    if threshold is None:
        return found
    from seqdyn.data.pictures import binarised

    return binarised(found, threshold)


def _half(hide: Hidden, shape: tuple[int, ...]) -> Array:
    """True where a pixel is known."""
    import numpy as np

    height, width = shape
    down, across = np.arange(height)[:, None] < height // 2, np.arange(width)[None] < width // 2
    halves = {Hidden.LOWER: down, Hidden.UPPER: ~down, Hidden.RIGHT: across, Hidden.LEFT: ~across}
    return np.broadcast_to(halves[hide], (height, width))


def _scored(model: PixelRNN | DRAW, images: Array) -> str:
    found = model.evaluate(images)
    if "nats_per_image" in found:
        return f"{found['nats_per_image']:.2f} nats a picture, {found['bits_per_dimension']:.4f} bits a pixel, exact"
    return f"{found['bound_nats']:.2f} nats a picture, a bound"


def _check_written(path: Path) -> None:
    check_folder(path)
    if path.suffix not in (".npy", ".png"):
        raise ValueError(f"--out writes .npy or .png, got {path.name!r}: change its ending.")


def _write_pictures(path: Path, images: Array, rows: list[list[Array]], levels: int) -> None:
    """The numbers, or a picture of the first rows of them."""
    import numpy as np

    if path.suffix == ".npy":
        np.save(path, images)
    else:
        from seqdyn.images.figures import gallery

        shown: list[Array] = [np.stack([one / (levels - 1) for one in row]) for row in rows[:ROWS]]
        gallery(shown).savefig(path)
    few = f", the first {ROWS} of {len(rows)} rows" if path.suffix == ".png" and len(rows) > ROWS else ""
    typer.echo(f"wrote {images.shape[0]} pictures to {path}{few}")


def _load_images_model(path: Path) -> Any:
    """A model of pictures from a file."""
    check_readable(path)
    from seqdyn.images.draw import DRAW
    from seqdyn.images.pixel import PixelRNN

    return load_kind(path, (PixelRNN, DRAW), "model of pictures", "seqdyn images fit")
