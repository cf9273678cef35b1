"""A file of readings of any size, scored in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ml.cleaning.columns import ColumnPlan, plan_columns
from ml.cleaning.counts import Counts
from ml.cleaning.refusals import refuse_times, refuse_unreadable
from ml.cleaning.time_range import TimeRange
from ml.config import OrganizationConfig
from ml.errors import DataError, NoRowsError
from ml.findings import Finding
from ml.grid.streamed import StreamedGrid
from ml.ingest.model_grid import on_grid_of
from ml.ingest.prepared.data import is_prepared
from ml.ingest.read_source import add_rows
from ml.ingest.sorted_readings import SortedReadings
from ml.ingest.source_notation import source_notation
from ml.ingest.sources import open_source
from ml.ingest.sources.base import Source
from ml.ingest.summary.mixed_machines import note_machine_columns
from ml.ingest.summary.reading_findings import findings_of_reading
from ml.ingest.summary.wording import duration, names_of
from ml.predict.model import LoadedModel
from ml.predict.output import score_writer
from ml.progress import ProgressCallback

_PIECE_ROWS = 65_536
_PIECE_CELLS = 20_000_000  # features at a time: 80 MB
_READ_SHARE = 0.3  # of the whole, as measured with eight sensors and 300 features


@dataclass(frozen=True)
class Scored:
    """What scoring found and wrote."""

    rows: int
    alarms: int
    assets: int
    readings: Counts
    findings: list[Finding]

    def to_json(self) -> dict[str, Any]:
        """As part of the JSON result."""
        counts = self.readings
        return {
            "rows": self.rows,
            "alarms": self.alarms,
            "assets": self.assets,
            "readings": {
                "read": counts.rows_read,
                "withoutReadableTime": counts.unreadable_times,
                "withoutAsset": counts.without_asset,
                "unreadableValues": sum(counts.unreadable.values()),
                "infiniteValues": sum(counts.infinite.values()),
            },
            "warnings": [finding.to_json() for finding in self.findings],
        }


def score_file(
    model: LoadedModel,
    config: OrganizationConfig,
    data: Path,
    output: Path,
    *,
    scratch: Path,
    progress: ProgressCallback,
) -> Scored:
    """Score every grid row of the readings in `data`, which may be in any order.

    Memory does not grow with the number of readings, but for the names of the assets and 100 kB per million readings.

    Parameters
    ----------
    config
        Where the columns are in the file, and the zone of times that carry none; its date range does not count.
    data
        CSV or Parquet of readings.
    output
        File to write, as `ml.predict.output.score_writer` does.
    scratch
        Empty folder for sorted readings, about as large as the sensors in `data` in float32.

    Raises
    ------
    NoRowsError
        If the file has no usable reading.
    MissingColumnError, DataError, StorageError, IsolationError
        As ml/errors.py describes them; also if a sensor has values and not one can be read, or if the rows are of
        several machines that nothing tells apart.
    """
    if is_prepared(data):
        raise DataError(
            f"{data.name} is prepared data; readings as the source has them are needed here",
            hint="give the file that data_prep.py was given",
        )
    settings = on_grid_of(model.engineer.config, config)
    with closing(open_source(settings, data)) as source:
        return _score(model, settings, source, output, scratch, progress)


def _score(
    model: LoadedModel,
    settings: OrganizationConfig,
    source: Source,
    output: Path,
    scratch: Path,
    progress: ProgressCallback,
) -> Scored:
    schema = settings.schema_config
    plan = replace(plan_columns(schema, None, source.columns(), source.where, target_required=False), flags=())
    readings = _sorted(source, plan, settings, scratch, progress)
    own_gaps = model.metadata.grid.own_gaps
    slow = {name: pace for name, pace in readings.paces(model.engineer.interval).items() if name not in own_gaps}
    grid = StreamedGrid(
        schema,
        interval=model.engineer.interval,
        max_gap=model.max_gap,
        aggregation=settings.data_config.aggregation,
        own_gaps=own_gaps,
        look_back=model.engineer.look_back,
        piece_rows=min(_PIECE_ROWS, max(1, _PIECE_CELLS // len(model.metadata.features))),
    )
    rows = alarms = 0
    with score_writer(output) as write:
        for piece in grid.pieces(_told(readings, progress)):
            scored = model.predict_grid(piece.frame, skip=piece.history)
            write(scored)
            rows += len(scored)
            alarms += int(scored["label"].sum())
    # Only now, as rows of one instant may have been in different runs; what is written is thrown away.
    note_machine_columns(source, plan, schema, readings.counts, TimeRange())
    progress(1.0, 1.0, f"{rows:,} rows scored")
    findings = [*findings_of_reading(readings.counts, schema), *_slow_findings(slow, model.max_gap)]
    return Scored(rows, alarms, readings.assets, readings.counts, findings)


def _slow_findings(slow: Mapping[str, int], max_gap: int) -> list[Finding]:
    """Of assets whose readings mostly come after their history has been broken off; paces and limit in seconds."""
    broken = {name: pace for name, pace in slow.items() if pace > max_gap}
    if not broken:
        return []
    apart, limit = duration(max(broken.values())), duration(max_gap)
    message = (
        f"Readings of {names_of(broken)} are about {apart} apart; the model carries values for {limit} there, so "
        "nearly every reading begins a new history, of which little can be told."
    )
    hint = "train again with the history of these machines, or do not rely on their predictions"
    return [Finding("ASSETS_SAMPLED_SLOWLY", message, "dataConfig.samplingIntervalSeconds", hint)]


def _sorted(
    source: Source, plan: ColumnPlan, config: OrganizationConfig, scratch: Path, progress: ProgressCallback
) -> SortedReadings:
    notation = source_notation(source, plan, config)
    readings = SortedReadings(
        plan, config.schema_config, config.data_config.zone, TimeRange(), notation=notation, folder=scratch
    )
    add_rows(
        readings,
        source,
        plan,
        TimeRange(),
        lambda done, total, words: progress(_READ_SHARE * done / total, 1.0, words),
    )
    readings.finish()
    readings.counts.layout += source.told()
    refuse_times(readings.counts, plan.timestamp)
    if not readings.rows:
        raise NoRowsError(f"{source.where} has no usable rows", hint="check that it is the right file")
    refuse_unreadable(readings.counts, plan, new_words=True)
    return readings


def _told(readings: SortedReadings, progress: ProgressCallback) -> Iterator[pd.DataFrame]:
    """The batches of sorted readings, each announced when it has been scored."""
    done = 0
    for batch in readings.batches():
        yield batch
        done += len(batch)
        share = _READ_SHARE + (1 - _READ_SHARE) * min(1.0, done / readings.rows)
        progress(share, 1.0, f"{done:,} of {readings.rows:,} readings scored")
