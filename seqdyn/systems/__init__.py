"""Known dynamics as cells, one a file: example data and test oracles."""
