"""scikit-learn estimators: regressors, classifiers and closed-form baselines."""
