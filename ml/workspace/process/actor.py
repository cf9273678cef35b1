"""``--actor``: on whose behalf a command runs, for the audit log."""

from __future__ import annotations

import argparse

_MAX_LENGTH = 128


def add_actor_option(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the option ``--actor``, which is None if it is not given."""
    parser.add_argument(
        "--actor",
        type=_actor,
        metavar="NAME",
        help="on whose behalf this is done, for the audit log, which also names the user of the operating system",
    )


def _actor(text: str) -> str:
    if not 0 < len(text) <= _MAX_LENGTH or not text.isprintable():
        raise argparse.ArgumentTypeError(f"must be 1 to {_MAX_LENGTH} printable characters")
    return text
