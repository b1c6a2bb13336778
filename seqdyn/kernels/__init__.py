"""Fused recurrences on raw tensors, behind the cells' ``unroll``."""
