"""What a comparison between a trained model and its ONNX form found, as written into ``metadata.json``."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from ml.options.base import Section


class ParityFigures(Section):
    """Probabilities and labels compared row by row."""

    rows: NonNegativeInt = Field(description="Rows compared.")
    differing_bits: NonNegativeInt = Field(description="Rows whose float32 probability has other bits.")
    differing_labels: NonNegativeInt = Field(description="Rows with another label.")
    max_difference: NonNegativeFloat = Field(description="Largest absolute difference of probabilities.")


class LeafFigures(Section):
    """Paths through the trees compared row by row and tree by tree."""

    rows: NonNegativeInt = Field(description="Rows compared.")
    trees: NonNegativeInt = Field(description="Trees compared.")
    differing: NonNegativeInt = Field(description="Pairs of row and tree that end in another leaf.")


class WindowFigures(Section):
    """The graph that starts from raw readings compared with features computed offline."""

    rows: NonNegativeInt = Field(description="Rows compared.")
    cells: NonNegativeInt = Field(description="Feature values compared.")
    differing_cells: NonNegativeInt = Field(description="Feature values that differ.")
    differing_bits: NonNegativeInt = Field(description="Rows whose float32 probability has other bits.")
    differing_labels: NonNegativeInt = Field(description="Rows with another label.")
