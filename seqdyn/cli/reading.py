"""How commands that read tables are told how these are written: the options they share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, get_type_hints

from typer import Option

from seqdyn.cli.dialects import Dialect
from seqdyn.cli.instants import Clock


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How the cells, the numbers and the times of a table are written; all is found in it, if it is not given."""

    sep: Annotated[
        str | None, Option(help="What separates the cells: ',', ';', tab, space. Default: found in the file.")
    ] = None
    decimal: Annotated[str | None, Option(help="The mark before decimals: . or , Default: found.")] = None
    thousands: Annotated[
        str | None, Option(help="The mark between thousands: , . ' space or none. Default: found.")
    ] = None
    encoding: Annotated[
        str | None, Option(help="Of the letters: utf-8, utf-16, cp1252, … Default: found in the file.")
    ] = None
    day_first: Annotated[
        bool | None,
        Option(
            "--day-first/--month-first", help="Is 01/02/2024 in February? Default: as is possible, or as is regular."
        ),
    ] = None
    date_format: Annotated[
        str | None, Option(help="How times are written, as in strftime: %d.%m.%y. Default: found.")
    ] = None
    time_zone: Annotated[
        str | None, Option(help="Whose wall clock the times show: Europe/Berlin. Default: as they are written.")
    ] = None

    @property
    def dialect(self) -> Dialect:
        """How cells and numbers are written."""
        return Dialect(self.sep, self.decimal, self.thousands, self.encoding)

    @property
    def clock(self) -> Clock:
        """How times are written."""
        return Clock(self.day_first, self.date_format, self.time_zone)


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the fields of its argument ``options``, a dataclass, as options of its own."""
    signature = inspect.signature(command, eval_str=True).parameters
    kind = signature["options"].annotation
    own = [parameter for name, parameter in signature.items() if name != "options"]
    hints = get_type_hints(kind, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(kind)
        if field.default is not MISSING
    ]

    def typed(**values: Any) -> None:
        options = kind(**{parameter.name: values.pop(parameter.name) for parameter in shared})
        command(**values, options=options)

    typed.__name__, typed.__doc__ = command.__name__, command.__doc__
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + shared
    typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    typed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return typed
