"""What a window of samples is turned into: the grid, the operations, the catalogue of feature families."""
