"""When each machine failed: the labels of grid rows."""
