-- A maintenance log as a list of failures: one row for each breakdown, with the machine, its begin, its end and the
-- component. Standard SQL, for SQLite and PostgreSQL. maintenance_log.json is the configuration that reads it.
CREATE VIEW breakdowns AS
SELECT
    machine AS asset,
    reported_at AS started,
    COALESCE(repaired_at, reported_at) AS ended,
    LOWER(TRIM(component)) AS component
FROM maintenance_log
WHERE kind = 'breakdown' AND reported_at IS NOT NULL;
