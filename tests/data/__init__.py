"""Tests of ``seqdyn.data``."""
