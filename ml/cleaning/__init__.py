"""What a source holds becomes clean readings: names, clocks, cells, and what is wrong with them."""
