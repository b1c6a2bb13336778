"""Language models and classifiers of texts, on the same cells, loops and trainer as everything else."""
