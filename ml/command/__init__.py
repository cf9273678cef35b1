"""What the one command adds to the steps and tools: the workspace, runs, comparisons, indexes."""
