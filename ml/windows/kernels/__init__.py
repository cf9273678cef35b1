"""Compiled kernels over series of samples; the only code that loops over rows."""
