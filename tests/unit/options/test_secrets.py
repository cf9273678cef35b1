"""Which secrets a configuration can name: its organisation's, kept by the operator, and no other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ml.config import OrganizationConfig
from ml.errors import ConfigError, EagleError, IsolationError
from ml.options.access.secrets import secret_in_file, secret_in_variable
from ml.workspace.paths import OrganizationPaths

SECRET = "correct horse battery"
KEYS = [("scadaDbConfig", "password"), ("tuningConfig", "storagePassword")]


def config(section: str, organization: str = "plant", **keys: Any) -> OrganizationConfig:
    needed = {"scadaDbConfig": {"database": "d"}, "tuningConfig": {"storage": "postgresql://u@host/trials"}}
    return OrganizationConfig.from_dict(
        {
            "organizationId": organization,
            "schemaConfig": {"continuousColumns": ["x"]},
            section: {**needed[section], **keys},
        }
    )


def secret(section: str, organization: str = "plant", **keys: Any) -> str | None:
    found = config(section, organization, **keys)
    if section == "tuningConfig":
        return found.tuning_config.storage_secret(found.organization_id)
    assert found.scada_db_config is not None
    return found.scada_db_config.secret(found.organization_id)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The operator's folder, in which two organisations have a secret."""
    for organization in ("plant", "victim"):
        (tmp_path / "secrets" / organization).mkdir(parents=True)
        (tmp_path / "secrets" / organization / "scada").write_text(f"{organization}: {SECRET}\n")
    monkeypatch.setenv("EAGLE_ML_SECRETS", str(tmp_path / "secrets"))
    return tmp_path / "secrets"


@pytest.mark.parametrize(("section", "key"), KEYS)
class TestBothSections:
    @pytest.mark.usefixtures("folder")
    def test_a_file_of_the_organisation(self, section: str, key: str) -> None:
        assert secret(section, **{f"{key}File": "scada"}) == f"plant: {SECRET}"
        assert secret(section, "victim", **{f"{key}File": "scada"}) == f"victim: {SECRET}"

    def test_a_variable_of_the_organisation(self, section: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EAGLE_SECRET_plant__SCADA_1", SECRET)
        monkeypatch.setenv("EAGLE_SECRET_550e8400-e29b.x__SCADA_1", SECRET[::-1])
        assert secret(section, **{f"{key}Env": "SCADA_1"}) == SECRET
        assert secret(section, "550e8400-e29b.x", **{f"{key}Env": "SCADA_1"}) == SECRET[::-1]

    @pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "HOME", "PATH"])
    def test_no_variable_of_the_system(
        self, section: str, key: str, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(name, SECRET)
        with pytest.raises(ConfigError, match=f"EAGLE_SECRET_plant__{name} is not set") as caught:
            secret(section, **{f"{key}Env": name})
        assert (caught.value.field, SECRET in str(caught.value.to_json())) == (f"{section}.{key}Env", False)
        assert "EAGLE_SECRET_<organizationId>__<name>" in str(caught.value.hint)

    @pytest.mark.parametrize(
        "name",
        [
            "../victim/scada", "/etc/hostname", "victim/scada", "./scada", "..", ".", "scada/", "scada\0",
            "scada\n",
            "..%2fvictim%2fscada", "victim__SCADA", "_SCADA", "SCADA_", "a__b", "a" * 129, "a b", "ä", "$HOME", "~root",
            "EAGLE_SECRET_victim__SCADA", "a=b", "C:\\x", "scada.", ".scada", "a..b",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("kind", ["Env", "File"])
    def test_nothing_but_a_name(self, section: str, key: str, kind: str, name: str) -> None:
        with pytest.raises(EagleError, match="must be the name of a secret") as caught:
            config(section, **{f"{key}{kind}": name})
        assert (caught.value.exit_code, caught.value.field) == (2, f"{section}.{key}{kind}")
        assert "EAGLE_ML_SECRETS/<organizationId>/<name>" in str(caught.value.hint)
        assert len(name) < 3 or name not in caught.value.message

    def test_two_sources_are_refused(self, section: str, key: str) -> None:
        with pytest.raises(ConfigError, match="exclude each other"):
            config(section, **{f"{key}Env": "a", f"{key}File": "a"})

    def test_nothing_of_it_is_in_what_is_written(self, section: str, key: str) -> None:
        given = config(section, **{f"{key}File": "scada"})
        assert SECRET not in given.to_json() + repr(given)
        assert OrganizationConfig.from_json(given.to_json()) == given


@pytest.mark.parametrize("section", [section for section, _ in KEYS])
def test_without_a_name_there_is_none(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    assert secret(section) is None


def test_no_organisation_can_spell_the_variable_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ids and names are, one variable is one organisation's."""
    parts = ["a", "A", "a_b", "a__b", "b", "a_", "a-b", "a.b", "a__", "b__a"]
    owners: dict[str, str] = {}
    for organization in parts:
        for name in ("a", "b", "a_b", "a-b", "a.b", "A"):
            variable = f"EAGLE_SECRET_{organization}__{name}"
            monkeypatch.setenv(variable, SECRET)
            assert secret("scadaDbConfig", organization, passwordEnv=name) == SECRET
            monkeypatch.delenv(variable)
            assert owners.setdefault(variable, organization) == organization


def test_links_are_followed_within_the_folder_of_the_organisation(folder: Path) -> None:
    own = folder / "plant"
    (own / "..data").mkdir()
    (own / "..data" / "mounted").write_text(SECRET)
    (own / "mounted").symlink_to("..data/mounted")
    (own / "foreign").symlink_to(folder / "victim" / "scada")
    (folder / "linked").symlink_to(folder / "victim")
    assert secret_in_file("plant", "mounted", field="f") == SECRET
    for organization, name in (("plant", "foreign"), ("linked", "scada")):
        with pytest.raises(IsolationError, match="leads out of the organisation's folder"):
            secret_in_file(organization, name, field="f")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "is not a file with one line of text"),
        (b"", "is not a file with one line of text"),
        (f"{SECRET}\nand more".encode(), "is not a file with one line of text"),
        (SECRET.encode() * 1000, "is not a file with one line of text"),
        (SECRET.encode() + b"\xff", "is not text in UTF-8"),
    ],
    ids=["missing", "empty", "two lines", "long", "not UTF-8"],
)
def test_a_file_without_a_secret_is_told(content: bytes | None, problem: str, folder: Path) -> None:
    if content is not None:
        (folder / "plant" / "other").write_bytes(content)
    with pytest.raises(ConfigError, match=f'the secret "other" {problem}') as caught:
        secret_in_file("plant", "other", field="scadaDbConfig.passwordFile")
    assert caught.value.field == "scadaDbConfig.passwordFile"
    assert SECRET not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"


@pytest.mark.parametrize("value", [b"two\nlines", b"\xff", b"bell\x07"])
def test_a_variable_that_is_not_one_line_of_text(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAGLE_SECRET_plant__x", os.fsdecode(value))
    with pytest.raises(ConfigError, match="not one line of text"):
        secret_in_variable("plant", "x", field="f")


def test_without_a_folder_of_secrets_there_are_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EAGLE_ML_SECRETS", raising=False)
    with pytest.raises(ConfigError, match="EAGLE_ML_SECRETS is not set"):
        secret_in_file("plant", "scada", field="f")


def test_a_secret_is_no_data(folder: Path, tmp_path: Path) -> None:
    """A file of data may lie anywhere outside the workspace; what a secret says would stand in messages."""
    paths = OrganizationPaths("plant", tmp_path / "workspace")
    for organization in ("plant", "victim"):
        with pytest.raises(IsolationError):
            paths.readable_file(folder / organization / "scada", "the data")
        with pytest.raises(IsolationError):
            paths.writable_file(folder / organization / "scores.csv", "the result")
