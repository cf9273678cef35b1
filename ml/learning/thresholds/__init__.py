"""The alarm threshold: how it is chosen, and the alarm that one sensor could give without a model."""
