"""What each sensor adds to the score of a row, as a graph for alarm rows, and how well it agrees with exact values."""
