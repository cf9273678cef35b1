"""The licences of every package that the pipeline installs, as the packages themselves declare them."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
_FILES = ("requirements.txt", "requirements-fleet.txt")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)$", re.MULTILINE)
_CLASSIFIER = "License :: OSI Approved :: "


def licence_table() -> str:
    """One row per pinned package, by name; raises PackageNotFoundError for one that is not installed."""
    pins = {name: version for file in _FILES for name, version in _PIN.findall((REPOSITORY / file).read_text("utf-8"))}
    rows = [f"| {name} | {pins[name]} | {_licence(name)} |" for name in sorted(pins, key=str.lower)]
    return "\n".join(["| Package | Version | Licence |", "|---|---|---|", *rows])


def _licence(name: str) -> str:
    """The SPDX expression, else the classifier, else the first line of the licence field."""
    declared = metadata.metadata(name)
    expression = declared.get("License-Expression")
    classifiers = [each for each in declared.get_all("Classifier") or [] if each.startswith(_CLASSIFIER)]
    named = [each.removeprefix(_CLASSIFIER) for each in classifiers]
    return expression or ", ".join(named) or (declared.get("License") or "not declared").splitlines()[0]
