"""Configurations in the forms that others write, read as ours before they are checked."""
