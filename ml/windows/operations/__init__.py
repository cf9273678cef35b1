"""Operations: what one feature is, as a formula over the last `look_back` samples of its channels.

Each class declares its formula, unit and NaN rule once; the documentation table is made from them. An operation
never looks ahead, and treats rows before the segment's start as if they were NaN. The features of one class are
computed together: `plan` prepares everything that does not depend on the rows, and returns what computes them.
"""

from ml.windows.operations.base import Context, Operation, Step, Target
from ml.windows.operations.cycles import Cycle, cycle_table
from ml.windows.operations.deviations import Health, MeanDistance, Outlier, Stress, ZScore
from ml.windows.operations.differences import Acceleration, Percent, Rate
from ml.windows.operations.pairs import Efficiency, Product, Ratio
from ml.windows.operations.readings import Lag, Regime, Sample, Since, Value
from ml.windows.operations.rolling import History, Rolling, Trend
from ml.windows.operations.served import ServedLag, ServedRolling, ServedShare, ServedStatistic, ServedValue
from ml.windows.operations.switching import Changes, SinceChange

__all__ = [
    "Acceleration",
    "Changes",
    "Context",
    "Cycle",
    "Efficiency",
    "Health",
    "History",
    "Lag",
    "MeanDistance",
    "Operation",
    "Outlier",
    "Percent",
    "Product",
    "Rate",
    "Ratio",
    "Regime",
    "Rolling",
    "Sample",
    "ServedLag",
    "ServedRolling",
    "ServedShare",
    "ServedStatistic",
    "ServedValue",
    "Since",
    "SinceChange",
    "Step",
    "Stress",
    "Target",
    "Trend",
    "Value",
    "ZScore",
    "cycle_table",
]
