"""How a source writes its times and numbers: as it was told, or as its own rows show beyond doubt."""
