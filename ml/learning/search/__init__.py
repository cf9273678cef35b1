"""The search for parameters, windows and lags: space, trials, study, storage and results."""
