"""Containers in, the same containers out."""
