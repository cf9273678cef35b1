"""What pyproject.toml declares and what the requirements files pin are one list."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = {
    "requirements.txt": PROJECT["dependencies"],
    "requirements-fleet.txt": EXTRAS["fleet"],
    "requirements-dev.txt": [
        *(line for line in EXTRAS["dev"] if not line.startswith("eagle-ml")),
        *EXTRAS["xgboost"],
        *EXTRAS["excel"],
    ],
}


def pinned(file: str) -> Iterator[Requirement]:
    """The direct dependencies of a requirements file: its pins up to the first blank line after them."""
    for line in (REPOSITORY / file).read_text(encoding="utf-8").splitlines():
        if not line.strip():
            return
        if not line.startswith(("#", "-r")):
            yield Requirement(line)


@pytest.mark.parametrize("file", DECLARED)
def test_every_direct_dependency_is_pinned_as_declared(file: str) -> None:
    declared = {canonicalize_name(each.name): each for each in map(Requirement, DECLARED[file])}
    pins = {canonicalize_name(each.name): each for each in pinned(file)}
    assert pins.keys() == declared.keys()
    for name, pin in pins.items():
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert specifier.version in declared[name].specifier
