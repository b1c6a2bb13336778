"""The scikit-learn estimators: their manners, their containers, and their errors."""
