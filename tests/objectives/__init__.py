"""Objectives of very unlike kinds, each in a file of at most 60 lines, on public names alone."""
