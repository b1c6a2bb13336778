"""Learning, not only running: small problems with known answers, solved through the estimators."""
