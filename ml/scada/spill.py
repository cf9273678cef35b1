"""Clean readings on their way from slices of time to histories of assets: one file per asset, appended to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ml.workspace.files import plain_storage_errors

PIECE_ROWS = 16_384  # rows that are read back at once, if they came in smaller pieces
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class AssetSpill:
    """Readings by asset in a folder that is removed by whoever made it.

    Each file is a row of Arrow streams, one for each frame that held readings of the asset.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}
        self.rows = 0

    @property
    def assets(self) -> list[str]:
        """Names of the assets, sorted."""
        return sorted(self._files)

    def add(self, readings: pd.DataFrame) -> None:
        """Append readings, sorted by asset and time, each after those of its asset that came before.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        self.rows += len(readings)
        for name, rows in readings.groupby("asset_id", sort=False, observed=True):
            file = self._files.setdefault(str(name), self._folder / f"{len(self._files)}.arrow")
            batch = pa.RecordBatch.from_pandas(rows.drop(columns="asset_id"), preserve_index=False)
            with (
                plain_storage_errors("the readings by asset"),
                file.open("ab") as stream,
                pa.ipc.new_stream(stream, batch.schema, options=_OPTIONS) as writer,
            ):
                writer.write_batch(batch)

    def pieces(self, asset: str, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """The readings of an asset in order of time, in pieces of about `PIECE_ROWS`; all columns, or the named."""
        waiting: list[pd.DataFrame] = []
        for rows in self._frames(asset):
            waiting.append(rows if columns is None else rows[[name for name in columns if name in rows.columns]])
            if sum(len(piece) for piece in waiting) >= PIECE_ROWS:
                yield self._joined(asset, waiting)
                waiting = []
        if waiting:
            yield self._joined(asset, waiting)

    def _frames(self, asset: str) -> Iterator[pd.DataFrame]:
        file = self._files[asset]
        size = file.stat().st_size
        with pa.OSFile(str(file)) as stream:
            while stream.tell() < size:
                with pa.ipc.open_stream(stream) as reader:
                    yield reader.read_pandas()

    @staticmethod
    def _joined(asset: str, frames: list[pd.DataFrame]) -> pd.DataFrame:
        whole = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
        whole.insert(0, "asset_id", pd.Series(asset, index=whole.index, dtype="str"))
        return whole
