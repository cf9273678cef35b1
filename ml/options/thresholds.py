"""`trainingConfig.thresholdPolicy`: by which rule the alarm threshold is chosen on the validation part."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, model_validator
from pydantic_core import PydanticCustomError

from ml.options.base import Section
from ml.options.costs import MaintenanceCosts

Rule = Literal["f1", "cost", "maxFalseAlarmsPerAssetDay", "maxHealthyTimeInAlarm", "minRecall", "minPrecision"]
MOST_HEALTHY_TIME = 0.5
"""An alarm that stands for more of the healthy time than this is no alarm, whatever is configured."""

_SHARES = ("maxHealthyTimeInAlarm", "minRecall", "minPrecision")
_WITHOUT_LIMIT = ("f1", "cost")


class ThresholdPolicy(Section):
    """How the alarm threshold is chosen; definitions in docs/event-metrics.md."""

    rule: Rule = Field(
        default="f1",
        description="f1: best F1 of rows. cost: lowest cost of missed failures, false alarms and inspections. "
        "maxFalseAlarmsPerAssetDay, maxHealthyTimeInAlarm: most failures detected within the limit. "
        "minPrecision: most positive rows found within it. "
        "minRecall: fewest alarm rows at that recall of rows.",
    )
    limit: NonNegativeFloat | None = Field(default=None, description="The limit of the last four rules.")
    costs: MaintenanceCosts | None = Field(default=None, description="The prices that `cost` weighs.")

    @model_validator(mode="after")
    def rule_has_its_numbers(self) -> Self:
        """A limit for the rules that keep one, costs for `cost`, and neither elsewhere."""
        if (self.limit is None) != (self.rule in _WITHOUT_LIMIT):
            wanted = "takes no limit" if self.rule in _WITHOUT_LIMIT else "needs a limit"
            raise PydanticCustomError("limit", "the rule {rule} {wanted}", {"rule": self.rule, "wanted": wanted})
        if self.rule in _SHARES and self.limit is not None and self.limit > 1:
            raise PydanticCustomError("limit", "the limit of {rule} is a share, 1 at most", {"rule": self.rule})
        if (self.costs is None) == (self.rule == "cost"):
            wanted = "needs costs" if self.rule == "cost" else "takes no costs"
            raise PydanticCustomError("costs", "the rule {rule} {wanted}", {"rule": self.rule, "wanted": wanted})
        return self
