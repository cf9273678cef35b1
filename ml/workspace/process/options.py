"""The options that every command has."""

from __future__ import annotations

import argparse

_MAX_LENGTH = 128


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` ``--actor``, which is None if it is not given, and ``--json``."""
    parser.add_argument(
        "--actor",
        type=_actor,
        metavar="NAME",
        help="on whose behalf this is done, for the audit log, which also names the user of the operating system",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON on a terminal, too")


def _actor(text: str) -> str:
    if not 0 < len(text) <= _MAX_LENGTH or not text.isprintable():
        raise argparse.ArgumentTypeError(f"must be 1 to {_MAX_LENGTH} printable characters")
    return text
