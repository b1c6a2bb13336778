"""Oracles: closed forms and other libraries that say what is right."""
