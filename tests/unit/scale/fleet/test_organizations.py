from __future__ import annotations

import json
from pathlib import Path

import pytest

from ml.errors import ConfigError
from ml.scale.fleet.organizations import find_organizations


def write(folder: Path, name: str, **keys: str) -> None:
    config = {"organizationId": "acme", "schemaConfig": {"continuousColumns": ["heat"]}} | keys
    (folder / name).write_text(json.dumps(config), encoding="utf-8")


def test_each_file_is_one_organisation_and_a_bad_one_is_told(tmp_path: Path) -> None:
    write(tmp_path, "b.json", organizationId="beta")
    write(tmp_path, "a.json", version="v7")
    write(tmp_path, "c.json", organizationId="../escape")
    write(tmp_path, "notes.txt")
    write(tmp_path, "organization.schema.json")
    usable, refused = find_organizations(tmp_path)
    assert [(each.organization_id, each.version, each.config_file.name) for each in usable] == [
        ("acme", "v7", "a.json"),
        ("beta", "v1", "b.json"),
    ]
    assert [(each.config_file.name, each.error.exit_code) for each in refused] == [("c.json", 6)]


def test_the_second_file_about_one_version_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.json")
    write(tmp_path, "b.json", organizationId="ACME")
    write(tmp_path, "c.json", version="v2")
    usable, refused = find_organizations(tmp_path)
    assert [each.config_file.name for each in usable] == ["a.json", "c.json"]
    assert refused[0].config_file.name == "b.json"
    assert "a.json" in refused[0].error.message


def test_a_folder_without_configurations_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no configuration"):
        find_organizations(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        find_organizations(tmp_path / "nowhere")
