"""A second table or file beside the readings: failures, maintenance, errors, attributes of machines."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ml.options.access.file_format import TimestampFormat
from ml.options.base import Section
from ml.options.data import check_timezone
from ml.options.source import checked_path


class TableReference(Section):
    """Where the rows of a second table are: in a file, or in the database of `scadaDbConfig`."""

    path: Annotated[str, AfterValidator(checked_path)] | None = Field(
        default=None, min_length=1, description="File, as dataSource.path."
    )
    table: str | None = Field(
        default=None, min_length=1, description="Table or view in the database of scadaDbConfig, as its `table`."
    )
    timezone: Annotated[str, AfterValidator(check_timezone)] | None = Field(
        default=None, description="Zone of its timestamps that carry none. Default: dataConfig.timezone."
    )
    timestamp_format: TimestampFormat | None = Field(
        default=None, description="How its times are written, as formatConfig.timestampFormat. Default: found out."
    )

    @model_validator(mode="after")
    def one_place(self) -> Self:
        """Rows come from one place."""
        if (self.path is None) == (self.table is None):
            raise PydanticCustomError("one_place", "needs either path (a file) or table (in the database)")
        return self
