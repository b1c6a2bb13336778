"""Language models, translators and classifiers of texts."""
