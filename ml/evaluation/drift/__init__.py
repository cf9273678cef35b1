"""Whether sensors and features still have the distribution that they had in training."""
