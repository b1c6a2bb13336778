"""What a linear system shows of itself: figures, and one screen of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from seqdyn.identification.figures import plot_bode, plot_poles, plot_response, plot_singular_values
from seqdyn.identification.gramians import Balance
from seqdyn.identification.summary import summarise

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Presentation(Balance):
    """The figures and the summary of a :class:`~seqdyn.identification.system.LinearSystem`."""

    def plot_bode(
        self,
        frequencies: Any = None,
        *,
        others: Mapping[str, Any] | None = None,
        name: str = "model",
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
        angular: bool = False,
    ) -> Figure:
        """Gain in dB and phase in degrees over the frequency, with bands of 95 % where the system was estimated.

        Parameters
        ----------
        frequencies : array-like, optional
            In cycles per unit of time; up to the Nyquist frequency if None.
        others : mapping of str to LinearSystem, optional
            Systems to compare it with, by name.
        name : str
            Its own name beside others.
        inputs, outputs : sequence of str, optional
            Names; its own if None.
        angular : bool
            Whether the axis counts in rad instead of cycles per unit of time.

        Returns
        -------
        matplotlib.figure.Figure
            See :func:`~seqdyn.identification.figures.plot_bode`.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> heater = LinearSystem.from_block([[0.0]], [[1.0]], [[0.1]], [[0.9]], dt=2.0, time_unit="s")
        >>> heater.plot_bode().axes[-1].get_xlabel()
        'frequency, Hz'
        """
        systems = self._beside(others, name)
        return plot_bode(systems, frequencies, inputs=inputs, outputs=outputs, angular=angular)

    def plot_poles(self, *, others: Mapping[str, Any] | None = None, name: str = "model") -> Figure:
        """Poles and zeros in the complex plane, with regions of 95 % of the poles where the system was estimated.

        Parameters
        ----------
        others : mapping of str to LinearSystem, optional
            Systems to compare it with, by name.
        name : str
            Its own name beside others.

        Returns
        -------
        matplotlib.figure.Figure
            See :func:`~seqdyn.identification.figures.plot_poles`.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[0.0]], [[1.0]], [[0.1]], [[0.9]]).plot_poles().axes[0].get_ylabel()
        'imaginary part'
        """
        return plot_poles(self._beside(others, name))

    def plot_response(
        self,
        kind: str = "step",
        time: int | None = None,
        *,
        others: Mapping[str, Any] | None = None,
        name: str = "model",
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> Figure:
        """What the outputs do after a step, or an impulse, with bands of 95 % where the system was estimated.

        Parameters
        ----------
        kind : {"step", "impulse"}
        time : int, optional
            In steps; as long as the slowest system takes to settle to 1 % if None, from 10 to 500.
        others : mapping of str to LinearSystem, optional
            Systems to compare it with, by name.
        name : str
            Its own name beside others.
        inputs, outputs : sequence of str, optional
            Names; its own if None.

        Returns
        -------
        matplotlib.figure.Figure
            See :func:`~seqdyn.identification.figures.plot_response`.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> heater = LinearSystem.from_block([[0.0]], [[1.0]], [[0.1]], [[0.9]], dt=2.0, time_unit="s")
        >>> heater.plot_response("impulse").axes[0].get_xlabel()
        'time, s'
        """
        return plot_response(self._beside(others, name), kind, time, inputs=inputs, outputs=outputs)

    def plot_singular_values(self, chosen: int | None = None) -> Figure:
        """Hankel singular values, largest first: how many states matter between inputs and outputs.

        Parameters
        ----------
        chosen : int, optional
            So many values are marked as those kept.

        Returns
        -------
        matplotlib.figure.Figure
            See :func:`~seqdyn.identification.figures.plot_singular_values`.

        Raises
        ------
        ValueError
            If the part between inputs and outputs is not stable, or the system has no states.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> heater = LinearSystem.from_block([[0.0]], [[1.0]], [[0.1]], [[0.9]])
        >>> heater.plot_singular_values().axes[0].get_ylabel()
        'Hankel singular value'
        """
        if not self.order:
            raise ValueError("A system without states has no Hankel singular values.")
        drawing = plot_singular_values(self.hankel_singular_values(), chosen)
        drawing.axes[0].set_ylabel("Hankel singular value")
        return drawing

    def summary(self) -> str:
        """One screen of text: sizes, poles, gains, noise, and how well all this is known.

        Returns
        -------
        str
            Poles with modulus, time constant and period; zeros; static gains; standard deviations of the errors of
            forecasts; focus, likelihood and criteria of the estimation. Lines for which nothing is known are left out.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> print(LinearSystem.from_block([[0.0]], [[1.0]], [[0.1]], [[0.9]], dt=2.0, time_unit="s").summary())
        Linear system: 1 input, 1 output, order 1, dt = 2 s; stable
        <BLANKLINE>
        pole  modulus  time constant, s  period, s
         0.9      0.9             18.98          -
        <BLANKLINE>
        static gain  input 1
        output 1           1
        """
        return summarise(self)

    def _beside(self, others: Mapping[str, Any] | None, name: str) -> Any:
        """Itself, or itself and others by name."""
        if not others:
            return self
        if name in others:
            raise ValueError(f"{name!r} is the name of this system, and of one of the others: give it another name=….")
        return {name: cast(Any, self), **others}
