"""No way to write a password gets through, and no short password damages a result."""

from __future__ import annotations

import json
import string
from urllib.parse import quote, quote_plus

import pytest
import sqlalchemy

from ml.workspace.process.redaction import Redactor

PRINTABLE = [chr(code) for code in range(32, 127)] + ["ä", "€", "漢", "\U0001f600", "\u0301"]


def hiding(*secrets: str) -> Redactor:
    redactor = Redactor()
    for secret in secrets:
        redactor.hide(secret)
    return redactor


def spellings(secret: str) -> list[str]:
    """How libraries and messages write a password."""
    url = sqlalchemy.URL.create("postgresql", "u", secret, "h", 1, "d").render_as_string(hide_password=False)
    escaped = secret.replace("\\", "\\\\").replace("'", "\\'")
    return [
        secret,
        f"<{secret}>",
        f"x{secret}y",
        repr(secret),
        ascii(secret),
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        quote(secret),
        quote(secret, safe="").lower() if quote(secret) != secret else secret,
        quote_plus(secret),
        url,
        repr(url),
        f"password='{escaped}'",
        json.dumps(f"password='{escaped}'"),
        "password='" + secret.replace("'", "''") + "'",
    ]


@pytest.mark.parametrize("character", PRINTABLE)
def test_every_printable_character_in_every_spelling(character: str) -> None:
    for secret in (f"core{character}core", character + "corecore", f"core{character}{character}core{character}"):
        redactor = hiding(secret)
        for written in spellings(secret):
            found = redactor.text(f"before {written} after")
            assert "core" not in found, written
            assert found.startswith("before ")
            assert found.endswith(" after")
            assert redactor.value({"error": [{"message": written}]})["error"][0]["message"].count("core") == 0


@pytest.mark.parametrize("character", [*string.digits, *string.ascii_letters, *"!#$%&()*+,-./:;<=>?@[]^_`{|}~", "ä"])
def test_a_short_password_is_hidden_where_it_stands_by_itself(character: str) -> None:
    redactor = hiding(character * 2)
    for written in ("for user 'u' with '{}'", "password={} host=h", "u:{}@h is refused", "({})", 'said "{}".', "is {}"):
        assert redactor.text(written.format(character * 2)) == written.format("***")


RESULT = {
    "status": "SUCCESS",
    "step": "data_prep",
    "organizationId": "plant_a",
    "version": "v1",
    "preparedDataPath": "/srv/a/artifacts/plant_a/v1/prepared_data.parquet",
    "rows": 3,
    "warnings": [{"code": "slow", "message": "the interval is 30 s in 2024-01-01T00:00:00Z"}],
}


@pytest.mark.parametrize(
    "password",
    ["version", "a", "v1", "preparedDataPath", "organizationId", "status", "1", "plant_a", "v", "/", "_", ".", "srv",
     "0", "-", "parquet", "warnings", "SUCCESS", "slow", "step", *string.ascii_lowercase[1:], *":T"],
)  # fmt: skip
def test_no_password_damages_keys_ids_paths_or_words(password: str) -> None:
    found = hiding(password).value(RESULT)
    message = found["warnings"][0].pop("message")
    expected = json.loads(json.dumps(RESULT))
    words = expected["warnings"][0].pop("message").split()
    assert found == expected
    changed = [(new, old) for new, old in zip(message.split(), words, strict=True) if new != old]
    assert all((new, old) == ("***", password) for new, old in changed)


def test_several_secrets_and_masks_do_not_get_into_each_other() -> None:
    redactor = hiding("longer secret", "secret", "**", "long", "")
    assert redactor.text("a longer secret, a secret and along") == "a ***, a *** and along"
    assert hiding().text("nothing") == "nothing"
