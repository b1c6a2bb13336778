"""AirPassengers: rolling six-step forecasts over 1959-06 to 1960-12 of models fitted up to 1959-01.

    python benchmarks/air_passengers.py [--seeds 0 1 2 3 4] [--validate]

The 19 scored values are those six steps ahead; weights stay as they were fitted, the state reads every new month.
``--validate`` does the same for earlier years (fits up to 1954-01 … 1957-07), where settings are chosen.
"""
