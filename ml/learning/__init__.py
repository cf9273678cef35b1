"""From labelled rows and their features to a model: splits, estimators, search, thresholds and event metrics."""
