"""Many organisations at once: the steps of each in a process of its own, as many side by side as there is room for."""
