"""ONNX models opened safely, and rows scored in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import ArrayLike

from ml.arrays import Float32s, Int64s
from ml.errors import DataError, IntegrityError, MissingArtifactError
from ml.export.builder import ML_DOMAIN
from ml.export.graph.limits import check_graph
from ml.export.graph.model import INPUT
from ml.export.graph.parts import LABEL, PROBABILITIES
from ml.export.onnx_runtime import onnxruntime, runtime_errors
from ml.workspace.safe_open import read_bytes

BATCH_ROWS = 16_384
_STANDARD_DOMAINS = frozenset({"", "ai.onnx", ML_DOMAIN})
# onnxruntime's exceptions have no common base but Exception; these are what a damaged file can raise.
_FAILURES = (
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidProtobuf,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
)


def open_model(source: bytes | Path) -> onnxruntime.InferenceSession:
    """A session of one thread on the CPU.

    One thread, because with more of them onnxruntime splits the sum over the trees, and another order of summation has
    other bits. The file is read here and given to onnxruntime as bytes, so that nothing else is opened.

    Raises
    ------
    MissingArtifactError
        There is no such file.
    IntegrityError
        It is not an ONNX model, keeps data in other files, uses operators outside the standard, or is refused by
        `ml.export.graph.limits.check_graph`.
    """
    content = source if isinstance(source, bytes) else _read(source)
    _check_content(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except _FAILURES as error:
        raise IntegrityError(f"onnxruntime does not open the model: {error}") from error


class Scorer:
    """``model.onnx`` as a function of float32 rows.

    Parameters
    ----------
    source
        The file, or its bytes.
    threads
        Batches scored at the same time, each on one thread. The results do not depend on it.
    """

    def __init__(self, source: bytes | Path, *, threads: int = 1) -> None:
        self.session = open_model(source)
        self.threads = threads
        self.n_features = _input_width(self.session)
        self.metadata: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)

    def score(self, X: ArrayLike) -> tuple[Float32s, Int64s]:
        """Probability of a failure, float32 (n_rows,), and label, int64 (n_rows,), of float32 rows.

        Raises
        ------
        DataError
            `X` is not float32 (n_rows, n_features).
        IntegrityError
            The model fails, or gives something else.
        """
        rows = _checked_rows(X, self.n_features)
        probability, label = np.empty(len(rows), dtype=np.float32), np.empty(len(rows), dtype=np.int64)

        def fill(part: slice) -> None:
            probability[part], label[part] = self._run(rows[part])

        self._for_each(fill, batches(len(rows), BATCH_ROWS))
        return probability, label

    def probability(self, X: ArrayLike) -> Float32s:
        """Probability of a failure, float32 (n_rows,); see `score`."""
        return self.score(X)[0]

    def label(self, X: ArrayLike) -> Int64s:
        """1 where the probability reaches the stored threshold, else 0, int64 (n_rows,); see `score`."""
        return self.score(X)[1]

    def _run(self, rows: Float32s) -> tuple[Float32s, Int64s]:
        try:
            probabilities, label = self.session.run([PROBABILITIES, LABEL], {INPUT: rows})
        except _FAILURES as error:
            raise IntegrityError(f"the model fails on rows of its own width: {error}") from error
        if probabilities.shape != (len(rows), 2) or label.shape != (len(rows),):
            raise IntegrityError("the model does not give two probabilities and one label for each row")
        return probabilities[:, 1], label

    def _for_each(self, work: Callable[[slice], None], parts: Iterable[slice]) -> None:
        """Run `work` on every part; one thread needs no pool, which would cost more than a row's score."""
        every = list(parts)
        if self.threads == 1 or len(every) == 1:
            for part in every:
                work(part)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            for finished in [pool.submit(work, part) for part in every]:
                finished.result()


def batches(n_rows: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` rows that cover ``range(n_rows)``."""
    return (slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size))


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except FileNotFoundError:
        raise MissingArtifactError(f"there is no model file {path.name}") from None


def _check_content(content: bytes) -> None:
    try:
        model = onnx.load_model_from_string(content)
        _check_model(model)
    except (DecodeError, UnicodeDecodeError) as error:  # names are decoded when they are read
        raise IntegrityError("the file is not an ONNX model") from error


def _check_model(model: onnx.ModelProto) -> None:
    foreign = sorted({node.domain for node in _messages(model, onnx.NodeProto)} - _STANDARD_DOMAINS)
    if foreign:
        raise IntegrityError(f"the model uses operators outside the ONNX standard: domain {foreign[0]!r}")
    for tensor in _messages(model, onnx.TensorProto):
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise IntegrityError(
                f"the model keeps the data of {tensor.name!r} in another file (external_data), which is not opened",
                hint="only models that are complete in one file are read",
            )
    check_graph(model)


def _messages(message: Any, kind: Any) -> Iterator[Any]:
    """Every protobuf message of type `kind` in `message`, at any depth: subgraphs, functions, attributes."""
    pending = [message]
    while pending:
        current = pending.pop()
        if isinstance(current, kind):
            yield current
        for field, value in current.ListFields():
            if field.message_type is not None:
                pending.extend([value] if hasattr(value, "ListFields") else value)


def _input_width(session: onnxruntime.InferenceSession) -> int:
    inputs, outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
    shapes = [(entry.name, entry.type, len(entry.shape)) for entry in inputs]
    known = shapes == [(INPUT, "tensor(float)", 2)] and isinstance(inputs[0].shape[1], int)
    if not known or outputs != [PROBABILITIES, LABEL]:
        raise IntegrityError(
            f"the model does not map {INPUT} (N, features) to {PROBABILITIES} and {LABEL}; "
            f"it has the inputs {[entry.name for entry in inputs]} and outputs {outputs}"
        )
    return int(inputs[0].shape[1])


def _checked_rows(X: ArrayLike, n_features: int) -> Float32s:
    rows = np.asarray(X)
    if rows.dtype != np.float32:
        raise DataError(
            f"the rows are {rows.dtype}; the model takes float32",
            hint="rounding may move a value across a threshold, so it is left to the caller",
        )
    if rows.ndim != 2 or rows.shape[1] != n_features:
        raise DataError(f"the rows have shape {rows.shape}; the model takes (rows, {n_features})")
    return rows
