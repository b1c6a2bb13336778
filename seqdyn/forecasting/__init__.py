"""Forecasting from frames: forecasters, baselines, backtests, combination and search."""
