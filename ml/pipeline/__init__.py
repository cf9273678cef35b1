"""What the steps share: their inputs, a trained version as it is read back, and the judging of one."""
