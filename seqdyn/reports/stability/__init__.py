"""The stability report: how gradients travel through the time of a model, with a verdict, as page, figure and data."""
