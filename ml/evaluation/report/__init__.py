"""The report of a validation: as data, in words, in pictures and as a page."""
