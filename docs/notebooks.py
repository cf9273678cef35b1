"""Execute a notebook: fill in what its cells print and draw.

    python docs/notebooks.py            execute every notebook in notebooks/ and store its outputs

A notebook is JSON (nbformat 4), and its cells here are plain Python, so a server and a kernel would add nothing. Cells
run in order in one fresh module, with the notebook's folder as working directory; every figure still open at the end
of a cell becomes its picture, and a last expression its text.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


def executed(notebook: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The notebook with the outputs of a fresh run; what a cell raises reaches the caller."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = []
    with _working_in(folder):
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                count = sum(each["cell_type"] == "code" for each in cells) + 1
                cell = cell | {"execution_count": count, "outputs": _outputs("".join(cell["source"]), names, count)}
            cells.append(cell)
    return notebook | {"cells": cells}


def _outputs(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    body = ast.parse(source)
    shown = not source.rstrip().endswith(";")  # as in Jupyter
    last = body.body.pop() if shown and body.body and isinstance(body.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(body, f"<cell {count}>", "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), f"<cell {count}>", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())})
    outputs += [
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": picture}} for picture in _figures()
    ]
    if value is not None:
        data = {"text/plain": _lines(repr(value))}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = _lines(value._repr_html_())
        outputs.append({"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": data})
    return outputs


def _figures() -> Iterator[str]:
    from matplotlib import pyplot as plt

    for number in plt.get_fignums():
        content = io.BytesIO()
        plt.figure(number).savefig(content, format="png", dpi=80, metadata={"Software": None})
        yield base64.b64encode(content.getvalue()).decode()
    plt.close("all")


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before, path = Path.cwd(), list(sys.path)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = path


def main() -> int:
    """Execute and store every notebook."""
    os.environ["MPLBACKEND"] = "Agg"
    for file in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        notebook = executed(json.loads(file.read_text(encoding="utf-8")), file.parent)
        file.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        sys.stdout.write(f"executed: {file.relative_to(REPOSITORY)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
