"""Linear state-space models from data: subspace identification, refinement, analysis; algorithms only."""
