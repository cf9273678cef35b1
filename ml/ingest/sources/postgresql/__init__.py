"""PostgreSQL, TimescaleDB included: read only, safe against names and values, in bounded memory."""
