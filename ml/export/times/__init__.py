"""``time_to_failure.onnx``: an interval for the time to the next failure, for rows in alarm."""
