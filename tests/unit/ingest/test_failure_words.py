from __future__ import annotations

import pytest

from ml.ingest.sources.driver_messages import words_of


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("cannot open '/srv/plant a/x.csv': no such file\nat line 7", "cannot open 'x.csv': no such file"),
        ('certificate "/root/.postgresql/root.crt" does not exist', 'certificate "root.crt" does not exist'),
        ("could not read /srv/data/x.parquet: bad magic", "could not read x.parquet: bad magic"),
        ("opening 'file:/srv/data/x.parquet' failed", "opening 'x.parquet' failed"),
        ('invalid input syntax: "N/A", 3 m3/h and "a/b"', 'invalid input syntax: "N/A", 3 m3/h and "a/b"'),
        ("", "ValueError"),
    ],
)  # fmt: skip
def test_a_file_is_called_by_its_name_alone(said: str, told: str) -> None:
    assert words_of(ValueError(said)) == told
