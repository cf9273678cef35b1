"""What was found in the data, as figures, findings and one verdict in words."""
