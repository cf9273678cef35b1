"""What columns mean beside being a reading: pairs, words, units, and what tells that a machine runs."""
