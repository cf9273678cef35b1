"""What the steps share: their inputs, a trained version as it is read back, and the evaluation of one."""
