"""``metadata.json``: everything that a client needs to use a model, and an auditor to know where it came from."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    Field,
    FiniteFloat,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ml import __version__
from ml.errors import IntegrityError, MissingArtifactError
from ml.export.builder import IR_VERSION, ML_DOMAIN, ML_OPSET, OPSET
from ml.export.graph.calibration import Calibration
from ml.export.modes import Modes
from ml.export.reasons.exact import Reasons
from ml.export.times.described import TimeToFailure
from ml.options.base import Identifier, Section, explain
from ml.options.columns.kinds import Running
from ml.workspace.files import parse_json
from ml.workspace.safe_open import read_bytes

FORMAT_VERSION: Literal[1] = 1
# Older ones lack the float64 TreeEnsemble (1.20) or misread a tree whose root has one leaf (1.21 to 1.23).
MINIMUM_ONNXRUNTIME = "1.26.0"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Probability = Annotated[float, Field(ge=0, le=1)]


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


class Channel(Section):
    """One column of the window."""

    name: str = Field(min_length=1, description="Column name of the sensor.")
    kind: Literal["continuous", "boolean", "counter", "categorical", "event"] = Field(
        description="A reading, 0 or 1, a running total of which increases are used, the code of a word, or the time "
        "since events."
    )
    role: str | None = Field(default=None, description="What it measures, such as temperature.")
    unit: str | None = Field(default=None, description="Its unit; null where the configuration names none.")
    source_unit: str | None = Field(default=None, description="The unit of the source, where readings are converted.")
    factor: FiniteFloat = Field(default=1.0, description="A reading of the source counts as reading * factor + offset.")
    offset: FiniteFloat = Field(default=0.0, description="In float64, before validRange and all else.")
    valid_range: tuple[FiniteFloat | None, FiniteFloat | None] = Field(
        default=(None, None), description="Lowest and highest possible reading, null for none; any other is missing."
    )
    words: tuple[str, ...] = Field(
        default=(),
        description="Of a categorical channel: the code of a word is its position, from 0; others are missing.",
    )

    events: tuple[str, ...] = Field(
        default=(),
        description="Of an event channel: the events of the asset that count, each `failure` or `maintenance` (all of "
        "them), or one with a kind, such as `maintenance:filter`, in lower case. The row of an event is the first grid "
        "row at or after its end. It counts in that row and later ones, a failure in those after it. The value is "
        "seconds from the latest row of an event that counts, 315,360,000 at most; missing before the first.",
    )


class Difference(Section):
    """A channel that the model makes itself: what a present value lies above its set value."""

    name: str = Field(min_length=1, description="Its name in features, statistics and drivers.")
    value: str = Field(min_length=1, description="Channel that it is taken from.")
    set_point: str = Field(min_length=1, description="Channel that is subtracted.")


class Window(Section):
    """The stretch of history that one prediction needs."""

    look_back: PositiveInt = Field(description="Samples, the newest included.")
    channels: tuple[Channel, ...] = Field(min_length=1, description="Sensors, in the order of the window's columns.")


class Grid(Section):
    """How readings become the window's rows, one per asset and sampling interval; every value is a rule to follow.

    Before anything else a reading that is not finite (as float32, for a counter as float64) is missing, and of several
    readings of one asset at one instant the last to arrive replaces the others.
    """

    instants: Literal["multiplesOfIntervalSinceEpoch"] = Field(
        default="multiplesOfIntervalSinceEpoch", description="Rows stand at the multiples of the interval since 1970."
    )
    covers: Literal["afterPreviousInstantUpToOwn"] = Field(
        default="afterPreviousInstantUpToOwn",
        description="The row at g has the readings of (g - interval, g], so nothing later than g.",
    )
    aggregation: Literal["last", "mean"] = Field(
        description="Continuous channels: the interval's last reading, or the float64 mean of its float32 readings, "
        "as float32. Counters and categorical channels: always the last. Booleans: "
        "1 if any reading is 1, else 0 if there is one."
    )
    max_gap_seconds: PositiveInt = Field(
        description="A row without a reading of a channel has that channel's last one, unless that is older than this; "
        "then it is missing."
    )
    own_gaps: dict[str, PositiveInt] = Field(
        default={}, description="In place of maxGapSeconds, by the name of the asset: those that log far more slowly."
    )
    new_segment: Literal["afterPauseLongerThanMaxGap"] = Field(
        default="afterPauseLongerThanMaxGap",
        description="When an asset sends nothing for longer than maxGapSeconds, its window restarts: all earlier rows "
        "are missing and no value is carried over.",
    )


class ScalingConstants(Section):
    """The scaler that is folded into the model: scaled = (x - center) / scale, in float32."""

    method: Literal["none", "standard", "minmax", "robust"] = Field(description="How the constants were found.")
    center: tuple[FiniteFloat, ...] = Field(default=(), description="Per feature; empty for none.")
    scale: tuple[FiniteFloat, ...] = Field(default=(), description="Per feature; empty for none.")


class Training(Section):
    """How the model was fitted."""

    rows: PositiveInt = Field(description="Labelled rows of the training part.")
    positives: NonNegativeInt = Field(description="Those of them with a failure ahead.")
    seed: int = Field(description="Seed of everything random.")
    engine: Literal["local", "dask"] = Field(
        default="local", description="Where it was fitted: in one process, or by partitions on a Dask cluster."
    )
    parameters: dict[str, JsonValue] = Field(description="Parameters of the model type.")
    rounds: PositiveInt = Field(description="Trees in use.")
    best_score: FiniteFloat | None = Field(default=None, description="Score at which early stopping chose them.")
    scheme: Literal["holdout", "backtest"] = Field(
        default="holdout", description="Whether it was judged on a test part, or its recipe in folds."
    )
    seen: Literal["training", "trainingAndValidation", "all"] = Field(
        default="training", description="Rows that the model was fitted on; all includes those that it is judged on."
    )
    folds: dict[str, dict[str, JsonValue]] = Field(
        default={}, description="Models that have answered for it on rows they had not seen: rows, threshold, rounds."
    )


class DataOrigin(Section):
    """Which data the model has seen."""

    digest: Digest = Field(description="SHA-256 of the prepared data.")
    from_: AwareDatetime = Field(alias="from", description="First instant.")
    to: AwareDatetime = Field(description="Last instant.")
    sensors: tuple[str, ...] = Field(description="Sensor columns.")
    seen: dict[str, tuple[int, int]] = Field(
        description="Asset -> first and last epoch second of the rows that the model was fitted on or stopped by."
    )
    notation: dict[str, str] = Field(
        default={}, description="How its times and numbers were found to be written, by key of formatConfig."
    )


class SensorStatistics(Section):
    """A sensor over the training part; null where it had no (or one) reading."""

    mean: FiniteFloat | None = Field(description="Mean, in the sensor's unit.")
    std: NonNegativeFloat | None = Field(description="Standard deviation, ddof = 1, in the sensor's unit.")


class ChannelBaseline(Section):
    """How one channel's training rows are spread, to tell drift by the population stability index."""

    edges: tuple[FiniteFloat, ...] = Field(
        description="Increasing float32 values in the channel's unit; a counter's are increases per sample."
    )
    counts: tuple[NonNegativeInt, ...] = Field(
        description="Rows per bin, one more than edges: bin i has edges[i-1] < x <= edges[i], the last all above."
    )
    missing: NonNegativeInt = Field(description="Rows without a value.")

    @model_validator(mode="after")
    def edges_lie_between_bins(self) -> Self:
        """Bins follow one another, and each has a count."""
        if len(self.counts) != len(self.edges) + 1 or list(self.edges) != sorted(set(self.edges)):
            raise PydanticCustomError("bins", "edges must increase and counts must be one more than edges")
        return self


class Runtime(Section):
    """What a client must run the models with to get these bits."""

    minimum_onnxruntime: str = Field(default=MINIMUM_ONNXRUNTIME, description="Oldest onnxruntime in Python.")
    minimum_onnxruntime_node: str = Field(default=MINIMUM_ONNXRUNTIME, description="Oldest onnxruntime-node.")
    intra_op_num_threads: Literal[1] = Field(
        default=1, description="Session option; with more threads the trees are summed in another order."
    )
    opset: dict[str, int] = Field(
        default={"ai.onnx": OPSET, ML_DOMAIN: ML_OPSET}, description="Operator sets that the models use."
    )
    ir_version: int = Field(default=IR_VERSION, description="Version of the ONNX file format.")


class FileChecksum(Section):
    """One file of the version."""

    sha256: Digest = Field(description="SHA-256 of its bytes.")
    bytes: NonNegativeInt = Field(description="Its size.")


class Parity(Section):
    """What the comparison of the ONNX model with the trained one found."""

    probabilities: ParityFigures = Field(description="Probabilities and labels.")
    leaves: LeafFigures | None = Field(default=None, description="Paths through the trees.")
    windows: WindowFigures | None = Field(default=None, description="The graph that starts from raw readings.")


class ModelMetadata(Section):
    """The content of ``metadata.json``."""

    format_version: Literal[1] = Field(default=FORMAT_VERSION, description="Version of this format.")
    organization_id: Identifier = Field(description="Whose model it is.")
    version: Identifier = Field(description="Version of the model.")
    model_type: str = Field(min_length=1, description="As in trainingConfig.modelType.")
    features: tuple[str, ...] = Field(min_length=1, description="Columns of the model's input, in order.")
    horizon_seconds: NonNegativeInt = Field(description="How far ahead a failure is predicted; 0: detection.")
    sampling_interval_seconds: PositiveInt = Field(description="Time between two samples.")
    serving_profile: Literal["backend"] | None = Field(
        default=None, description="The server that computes these features itself; null where only window.onnx does."
    )
    score_kind: Literal["probability", "anomaly"] = Field(
        default="probability",
        description="What the second column of probabilities is: the probability of a failure, or how far the machine "
        "is from normal behaviour (score / (score + 1), 0.5 at the limit), which is none.",
    )
    threshold: Probability = Field(description="label is 1 where the float32 probability is at least this.")
    suggested_threshold: Probability | None = Field(
        default=None, description="The same, for a server that has an alarm threshold of its own."
    )
    calibration: Calibration = Field(
        default=Calibration(), description="What turns scores into probabilities; part of both models."
    )
    threshold_choice: dict[str, JsonValue] = Field(
        default={},
        description="The policy that chose it, whether its limit is met, and what it did on the validation part.",
    )
    window: Window = Field(description="History that one prediction needs.")
    differences: tuple[Difference, ...] = Field(
        default=(), description="Channels that window.onnx makes of pairs of others; a client sends nothing for them."
    )
    running_when: Running | None = Field(
        default=None,
        description="What the newest grid row must show, the numbers as float32, for a prediction to count; where its "
        "column has another value, there is none. A row without a value counts. Null: every row counts.",
    )
    grid: Grid = Field(description="How readings become the rows of the window.")
    engine: dict[str, JsonValue] = Field(description="State of the feature engineer, for its from_dict.")
    scaling: ScalingConstants = Field(description="Scaler folded into the model.")
    metrics: dict[str, JsonValue] = Field(description="Metrics on the validation part.")
    training: Training = Field(description="Rows, parameters and seed of the fit.")
    data: DataOrigin = Field(description="Which data it has seen.")
    sensor_statistics: dict[str, SensorStatistics] = Field(description="Sensors over the training part, by name.")
    drift_baseline: dict[str, ChannelBaseline] = Field(description="Channels over the training part, by name.")
    suspicious_columns: tuple[dict[str, JsonValue], ...] = Field(
        default=(), description="Sensors that seem to know the label or the time: column, reason and figure."
    )
    libraries: dict[str, str] = Field(description="Versions of this program, Python and the libraries used.")
    reasons: Reasons | None = Field(
        default=None, description="What reasons.onnx gives; null where there is no such file."
    )
    time_to_failure: TimeToFailure | None = Field(
        default=None, description="What time_to_failure.onnx gives; null where there is no such file."
    )
    modes: Modes | None = Field(
        default=None, description="What modes.onnx gives; null where no modes of failure are told apart."
    )
    parity: Parity | None = Field(default=None, description="Null while the model has not been compared.")
    runtime: Runtime = Field(default=Runtime(), description="What the models must be run with.")
    files: dict[str, FileChecksum] = Field(
        default={},
        description="The other files of the version by name. Their checksums stand in manifest.json as well, with that "
        "of this file; check the manifest first.",
    )
    config_digest: Digest = Field(description="SHA-256 of the resolved configuration, without secrets.")

    @model_validator(mode="after")
    def one_constant_per_feature(self) -> Self:
        """A scaler, where there is one, has a constant for every feature."""
        expected = 0 if self.scaling.method == "none" else len(self.features)
        if {len(self.scaling.center), len(self.scaling.scale)} - {expected}:
            raise PydanticCustomError("scaling", "scaling must hold {n} centers and scales", {"n": expected})
        return self

    @property
    def score_name(self) -> str:
        """What a column with the model's answers is called."""
        return "probability" if self.score_kind == "probability" else "score"

    def to_json_bytes(self) -> bytes:
        """UTF-8 JSON in the order of the fields; equal metadata, built alike, gives equal bytes."""
        content = self.model_dump(mode="json", by_alias=True)
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        return f"{text}\n".encode()


def read_metadata(path: Path) -> ModelMetadata:
    """Read ``metadata.json``.

    Raises MissingArtifactError if there is no such file, and IntegrityError as `parse_metadata`.
    """
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        raise MissingArtifactError(f"there is no {path.name}", hint="train the model first") from None
    return parse_metadata(content, path.name)


def parse_metadata(text: bytes, name: str) -> ModelMetadata:
    """The metadata in the bytes of a file; `name` is the file's, for messages.

    Raises
    ------
    IntegrityError
        It is not JSON, was written by a newer release, or lacks or adds keys.
    """
    try:
        content = parse_json(text)
    except ValueError as error:
        raise IntegrityError(f"{name} is not JSON: {error}") from error
    _check_format(content, name)
    try:
        return ModelMetadata.model_validate(content)
    except ValidationError as failure:
        reason = explain(failure, ModelMetadata)
        raise IntegrityError(f"{name}: {reason.message}", field=reason.field) from failure


def metadata_schema() -> dict[str, Any]:
    """JSON Schema of ``metadata.json``."""
    schema = ModelMetadata.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _check_format(content: Any, name: str) -> None:
    version = content.get("formatVersion") if isinstance(content, dict) else None
    if not isinstance(version, int) or version < 1:
        raise IntegrityError(f"{name} has no formatVersion; it was not written by this program")
    if version > FORMAT_VERSION:
        raise IntegrityError(
            f"{name} has formatVersion {version}; this release reads up to {FORMAT_VERSION}",
            hint="use the release that wrote it, or a newer one",
        )


_LIBRARIES = ("lightgbm", "numba", "numpy", "onnx", "onnxruntime", "pandas", "pyarrow", "scikit-learn", "skl2onnx")


def library_versions() -> dict[str, str]:
    """Versions of this program, of Python and of the libraries that prepare, fit and export."""
    own = {"eagle-ml": __version__, "python": platform.python_version()}
    return own | {name: version(name) for name in _LIBRARIES}
