"""How a step lives as a process: output, progress, signals, memory, its parent."""
