"""Parts of `schemaConfig` that say what columns mean beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat, model_validator
from pydantic_core import PydanticCustomError

from ml.options.base import ColumnName, Section, distinct

Bound = Annotated[FiniteFloat, Field(ge=-3e38, le=3e38)]  # it is compared as float32
MOST_WORDS = 4096  # as many categories as a split of LightGBM's can be exported with


def _as_word(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _without_blanks_around(word: str) -> str:
    if word != word.strip() or any(ord(char) < 32 for char in word):
        raise PydanticCustomError("word", "must be a word without blanks around it and without control characters")
    return word


Word = Annotated[
    str, BeforeValidator(_as_word, json_schema_input_type=str | int), AfterValidator(_without_blanks_around),
    Field(min_length=1, max_length=128),
]  # fmt: skip
Words = Annotated[tuple[Word, ...], Field(max_length=MOST_WORDS), AfterValidator(distinct)]
"""What a categorical column may say; the code of a word is its position, from 0."""


class SetPointPair(Section):
    """A set value and the present value that follows it; ``value - setPoint`` is a channel of its own."""

    set_point: ColumnName = Field(description="Continuous column that holds what was asked for.")
    value: ColumnName = Field(description="Continuous column that holds what was measured.")
    name: ColumnName | None = Field(
        default=None, description="Name of the difference. Default: `<value>_minus_<setPoint>`."
    )

    @property
    def difference(self) -> str:
        """Name of the channel that holds ``value - setPoint``."""
        return self.name or f"{self.value}_minus_{self.set_point}"

    @model_validator(mode="after")
    def names_two_columns(self) -> Self:
        """A column less itself is always zero."""
        if self.set_point == self.value:
            raise PydanticCustomError("one_column", "setPoint and value are the same column")
        return self


class Running(Section):
    """What tells on the grid that a machine runs: the float32 of a channel equals a value, or lies above one."""

    column: ColumnName = Field(description="Channel that tells it.")
    equals: Bound | None = Field(default=None, description="The machine runs while the channel has this value.")
    above: Bound | None = Field(default=None, description="The machine runs while the channel is above this.")


class RunningWhen(Section):
    """What tells that a machine runs: a sensor that equals a value, or lies above one."""

    column: ColumnName = Field(description="Sensor that tells it.")
    equals: Bound | Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None, description="The machine runs while the column has this value, or a categorical one this word."
    )
    above: Bound | None = Field(default=None, description="The machine runs while the column is above this.")

    @model_validator(mode="after")
    def asks_one_thing(self) -> Self:
        """One of the two, so that a reader need not guess how they combine."""
        if (self.equals is None) == (self.above is None):
            raise PydanticCustomError("running", 'needs one of "equals" and "above"')
        return self

    def on_the_grid(self, words: Sequence[str]) -> Running:
        """The rule in codes; `words` are those of the column, none where it is not categorical."""
        equals = words.index(self.word) if words else self.equals
        return Running(column=self.column, equals=equals, above=self.above)

    @property
    def word(self) -> str:
        """What a categorical column must say; none of its words without `equals`."""
        return self.equals if isinstance(self.equals, str) else "" if self.equals is None else f"{self.equals:g}"
