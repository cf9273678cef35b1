"""Prepared data of a test as a file, written as data_prep writes it."""

from __future__ import annotations

from pathlib import Path

from ml.ingest.prepared.data import Prepared, PreparedWriter
from ml.ingest.prepared.fingerprint import Fingerprint


def write_prepared(path: Path, prepared: Prepared, *, organization_id: str, config_digest: str) -> None:
    kinds = {name: prepared.frame[name].dtype.type for name in prepared.sensors}
    with PreparedWriter(path, kinds, lambda _: None, modes=bool(prepared.modes)) as writer:
        writer.add(prepared.frame)
        writer.flush()
        writer.describe(
            Fingerprint(
                organization_id=organization_id,
                interval=prepared.interval,
                max_gap=prepared.max_gap,
                own_gaps=dict(prepared.own_gaps),
                horizon=prepared.summary["horizonSeconds"],
                config_digest=config_digest,
                sensors=prepared.sensors,
                modes=prepared.modes,
                summary=prepared.summary,
            )
        )
