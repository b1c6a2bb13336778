"""Language models and classifiers of texts."""
