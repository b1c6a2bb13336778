"""Forecasting: baselines, the forecaster, and what is made of them."""
