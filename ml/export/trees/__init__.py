"""Trained trees as flat arrays, read from the files of their libraries."""
