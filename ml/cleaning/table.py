"""A table in memory, such as a notebook holds, as clean readings."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from ml.cleaning.collector import ReadingCollector, Readings
from ml.cleaning.columns import plan_columns
from ml.cleaning.notation.detection import notation_of
from ml.cleaning.time_range import TimeRange
from ml.config import OrganizationConfig
from ml.errors import DataError


def from_table(table: pd.DataFrame, config: OrganizationConfig) -> Readings:
    """The readings of a table, cleaned exactly as those of a database or file; the target may be absent.

    Raises MissingColumnError if a sensor, the asset or the time column is missing; DataError if a column cannot hold
    what the schema says it is, or no time can be read.

    Parameters
    ----------
    table
        One row per reading, with the columns that schemaConfig names (before columnMapping), in any order of rows.
    """
    plan = plan_columns(
        config.schema_config,
        config.data_config.label_column,
        [str(name) for name in table.columns],
        "the table",
        failures=config.failure_config,
        target_required=False,
    )
    try:
        # A table, not a batch: a column of text that pandas has put together from several comes in chunks.
        batches = pa.Table.from_pandas(table[plan.source_columns], preserve_index=False).to_batches()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"the table mixes types in a column: {error}") from error
    zone = config.data_config.zone
    notation = notation_of(
        plan,
        config.format_config,
        zone,
        lambda names: (batch.select(names) for batch in batches),
        config.schema_config.categorical_columns,
    )
    collector = ReadingCollector(plan, config.schema_config, zone, TimeRange(), notation=notation)
    for batch in batches:
        collector.add(batch)
    return collector.finish()
