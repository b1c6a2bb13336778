"""A forecaster keeps its state from one update to the next, and through values that are missing.

Monthly CO2 at Mauna Loa. A GRU is fitted up to 1990; then the months come in one by one, and half a year of them is
missing. The state runs on through the gap on the model's own predictions, so the forecast after it is still a good one,
and equals that of a model which has read all these months at once.
"""

import copy

import numpy as np

from seqdyn import Forecaster, GRURegressor
from seqdyn.datasets import load_co2


def main() -> None:
    co2 = load_co2()["co2"].resample("MS").mean()
    fitted, later = co2[:"1989-12"], co2["1990-01":"1999-12"].copy()
    later["1999-03":"1999-08"] = np.nan
    network = GRURegressor(
        hidden_size=16, skip=True, linear_start=1.0, window=96, stride=24, max_epochs=100, random_state=0
    )
    model = Forecaster(network).fit(fitted)

    at_once = copy.deepcopy(model).update(later)
    for month in range(len(later)):
        model.update(later.iloc[[month]])
    difference = np.abs(model.forecast(24) - at_once.forecast(24)).max()

    actual = co2["2000-01":"2001-12"]
    error = np.abs(model.forecast(24) - actual).mean()
    naive = np.abs(np.tile(co2["1999-01":"1999-12"], 2) - actual.to_numpy()).mean()
    print(f"month by month or at once: forecasts differ by {difference:.1e} ppm")
    print(f"mean error of 24 months ahead, half a year of the last one missing: {error:.2f} ppm")
    print(f"the seasonal naive forecast, with nothing missing: {naive:.2f} ppm")
    assert difference < 1e-3
    assert error < 0.5 * naive


if __name__ == "__main__":
    main()
