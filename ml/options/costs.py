"""What failures and alarms cost, in the organisation's own currency or hours."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat

from ml.options.base import Section


class MaintenanceCosts(Section):
    """Three prices in one unit of your choice: your own currency, or hours."""

    missed_failure: NonNegativeFloat = Field(
        description="What a failure costs more when nothing detected it in time, in your own currency or hours."
    )
    false_alarm: NonNegativeFloat = Field(
        description="What a false alarm costs besides its inspection, such as a needless stop."
    )
    inspection: NonNegativeFloat = Field(description="What answering one alarm costs, be it right or false.")
