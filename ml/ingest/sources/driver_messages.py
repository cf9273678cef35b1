"""What a library says about a failure, fit to be told: one line, and no folder of this machine in it."""

from __future__ import annotations

import re

_LONGEST = 500
_QUOTED_PATH = re.compile(r"""(['"])(?:file:)?/(?:[^'"/]*/)*([^'"/]*)\1""")
_BARE_PATH = re.compile(r"(?<!\S)(?:file:)?/(?:[^\s'\"/]+/)+")


def words_of(failure: BaseException) -> str:
    """The first line of the message, files called by their names alone; the kind of failure if it says nothing.

    It has 500 characters at most, and those that a terminal would obey are replaced.

    >>> words_of(ValueError("cannot open '/srv/plant a/readings.csv': no such file\\nat line 7"))
    "cannot open 'readings.csv': no such file"
    """
    lines = str(failure).strip().splitlines()
    if not lines:
        return type(failure).__name__
    words = _BARE_PATH.sub("", _QUOTED_PATH.sub(r"\1\2\1", lines[0][:_LONGEST]))
    return "".join(character if character.isprintable() else "\ufffd" for character in words)
