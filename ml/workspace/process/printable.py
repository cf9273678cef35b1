"""Text from outside (names of tables, columns, machines) as it may be shown on a terminal or written to a log."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """`text` with every character that shows nothing or steers a terminal as its escape sequence; those in `keep` stay.

    Control characters (ESC, carriage return and line feed among them), bidirectional and other format characters,
    line and paragraph separators, lone surrogates, and spaces that are not the plain one.

    >>> printable("pump \\x1b[2J\\u202e7")
    'pump \\\\x1b[2J\\\\u202e7'
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else ascii(character)[1:-1] for character in text
    )
