"""Measurements of any cell."""
