"""A simulated pumping station: explicit physics, hidden wear, and the faults of a real SCADA archive.

`station.simulate` puts the parts together: `surroundings` (demand, weather, mains), `wear` (hidden lives of the
pumps), `physics` (what a pump of given wear does), `instruments` (what is measured of it), `disturbances` (what the
archive loses of that). ``python -m simulation OUT_DIR`` writes the result as a database.
"""
