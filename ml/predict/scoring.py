"""A file of readings of any size, scored in bounded memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from ml.cleaning.columns import ColumnPlan, plan_columns
from ml.cleaning.counts import Counts
from ml.cleaning.notation.detection import Notation
from ml.cleaning.refusals import refuse_times, refuse_unreadable
from ml.cleaning.time_range import TimeRange
from ml.config import OrganizationConfig
from ml.errors import DataError, NoRowsError
from ml.findings import Finding
from ml.grid.streamed import StreamedGrid
from ml.ingest.failures.since import TimesSince, read_times_since
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
from ml.options.access.file_format import FormatConfig
from ml.predict.model import LoadedModel
from ml.predict.output import score_writer
from ml.progress import ProgressCallback

_PIECE_ROWS = 65_536
_PIECE_CELLS = 20_000_000  # features at a time: 80 MB
_FEW_ROWS = 0.1
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
    readings = _sorted(source, plan, settings, model.metadata.data.notation, scratch, progress)
    since = read_times_since(settings, model.engineer.interval) if schema.event_inputs else None
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
    begun = _Begun(timedelta(seconds=(model.engineer.look_back - 1) * model.engineer.interval))
    with score_writer(output, model.metadata.score_name) as write:
        for piece in grid.pieces(_told(readings, progress)):
            frame = piece.frame if since is None else piece.frame.assign(**since.columns(piece.frame))
            scored = model.predict_grid(frame, skip=piece.history)
            write(scored)
            begun.take(scored)
            rows += len(scored)
            alarms += int(scored["label"].sum())
    # Only now, as rows of one instant may have been in different runs; what is written is thrown away.
    note_machine_columns(source, plan, schema, readings.counts, TimeRange())
    progress(1.0, 1.0, f"{rows:,} rows scored")
    findings = [
        *findings_of_reading(readings.counts, schema),
        *_slow_findings(slow, model.max_gap),
        *begun.findings(rows),
        *_event_findings(since, schema.event_inputs or ()),
    ]
    return Scored(rows, alarms, readings.assets, readings.counts, findings)


class _Begun:
    """Counts the rows of a file that have less of their machine's past in it than the features look back."""

    def __init__(self, look_back: timedelta) -> None:
        self.rows = 0
        self._look_back = look_back
        self._first: dict[str, pd.Timestamp] = {}

    def take(self, scored: pd.DataFrame) -> None:
        """Rows of a piece; the pieces of an asset come in the order of time."""
        for asset, first in scored.groupby("asset_id")["timestamp"].min().items():
            self._first.setdefault(str(asset), first)
        self.rows += int((scored["timestamp"] - scored["asset_id"].map(self._first) < self._look_back).sum())

    def findings(self, rows: int) -> list[Finding]:
        """A finding if such rows are more than a tenth."""
        if self.rows <= _FEW_ROWS * rows:
            return []
        past = duration(int(self._look_back.total_seconds()))
        message = (
            f"{self.rows:,} of {rows:,} rows have less of their machine's past in this file than the features look "
            f"back, {past}; their probabilities can differ from those on the whole history."
        )
        return [Finding("SHORT_HISTORY", message, hint=f"give the readings of the {past} before as well")]


def _event_findings(since: TimesSince | None, inputs: Collection[str]) -> list[Finding]:
    """Of times since events that stayed missing in all rows."""
    absent = [name for name in inputs if since is None or name not in since.filled]
    if not absent:
        return []
    return [
        Finding(
            "EVENTS_NOT_GIVEN",
            f"The model counts time from events, and no row has one that counts: {', '.join(absent)} "
            f"{'is' if len(absent) == 1 else 'are'} missing.",
            "failureConfig",
            "name the lists of failures and maintenance in failureConfig, as for training",
        )
    ]


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


def _notation(source: Source, plan: ColumnPlan, config: OrganizationConfig, trained: Mapping[str, str]) -> Notation:
    """How the readings are written: where their own rows leave it open, as those of the training were."""
    try:
        return source_notation(source, plan, config)
    except DataError as error:
        if not any(error.field == f"formatConfig.{key}" for key in trained):
            raise
    given = config.format_config.model_dump(by_alias=True, exclude_unset=True)
    known = FormatConfig.model_validate({**trained, **given})
    return source_notation(source, plan, config.model_copy(update={"format_config": known}))


def _sorted(
    source: Source,
    plan: ColumnPlan,
    config: OrganizationConfig,
    trained: Mapping[str, str],
    scratch: Path,
    progress: ProgressCallback,
) -> SortedReadings:
    notation = _notation(source, plan, config, trained)
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
