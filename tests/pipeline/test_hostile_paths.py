"""Whatever a path or an id says, nothing of another organisation is opened, read, written or listed."""

from __future__ import annotations

import io
import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest

from ml import fleet
from ml.errors import EagleError
from ml.evaluation.reference_scores import read_reference
from ml.options.delivery import ReferenceScore
from ml.predict import __main__ as predict
from ml.scale.fleet.summary import Summary, summary_folder, write_summary
from ml.scripts import convert_to_onnx, data_prep, hyperparameter_tuning, train_model, validate_model
from ml.workspace import __main__ as workspace
from ml.workspace.paths import OrganizationPaths, workspace_root
from tests.pipeline.backend import Json
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json
from tests.pipeline.watching import watched

VICTIM = "plant_victim"
CANARY = "canary-of-the-other-tenant"
DOCUMENTED = {2, 3, 4, 5, 6}

Command = tuple[Callable[[list[str]], int], list[str]]


@pytest.fixture
def two_tenants(published: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace in which plant_a is published, and the victim has files of the same kinds."""
    for kind in ("models", "artifacts"):
        shutil.copytree(published / kind / ORGANIZATION, published / kind / VICTIM, symlinks=True)
    folder = published / "artifacts" / VICTIM / "v1"
    (folder / "readings.csv").write_text(f"asset_id,created_timestamp,temperature\n{CANARY},2024-01-01T00:00:00Z,1\n")
    shutil.copy(folder / "readings.csv", folder / "scada.sqlite")
    monkeypatch.setenv("ML_BASE_PATH", str(published))
    monkeypatch.chdir(published.parent)  # what a form names relative to nothing is made here
    return published


def own_model() -> Path:
    """The model of plant_a's published version."""
    return workspace_root() / "models" / ORGANIZATION / "versions" / "v1" / "model.txt"


def empty_folder(beside: Path) -> Path:
    """A folder without configurations, so that a fleet ends before it begins."""
    folder = beside.with_name("no_configs")
    folder.mkdir(exist_ok=True)
    return folder


def path_forms(root: Path, target: Path, *, names_a_folder: bool = False) -> dict[str, str]:
    """Ways to name `target`, a file of the victim, that a careless check lets through; or the folder it lies in."""
    own, outside = root / "artifacts" / ORGANIZATION, root.parent / "outside"
    outside.mkdir(exist_ok=True)
    inside = target.relative_to(root / "artifacts").as_posix()
    for folder in (own, outside):
        for name, link in (("link", folder / "link"), ("twin", folder / "twin")):
            link.unlink(missing_ok=True)
            (link.symlink_to if name == "link" else link.hardlink_to)(target)
        (folder / "folder").unlink(missing_ok=True)
        (folder / "folder").symlink_to(target.parent)
    dots = f"{own}/../{inside}"
    forms = {
        "absolute": str(target),
        "dots": dots,
        "dots and doubled slashes": dots.replace("/", "//"),
        "dots through a version": f"{own}/v1/./../../{inside}",
        "relative": os.path.relpath(target),
        "encoded dots": dots.replace("..", "%2e%2e"),
        "encoded slash": dots.replace("../", "..%2f"),
        "double encoding": dots.replace("..", "%252e%252e"),
        "all encoded": quote(str(target), safe=""),
        "overlong dots": dots.replace("..", "%c0%ae%c0%ae"),
        "backslashes": dots.replace("/", "\\"),
        "NUL at the end": f"{target}\0",
        "NUL before a suffix": f"{target}\0.csv",
        "proc root": f"/proc/self/root{target}",
        "proc root, doubled slash": f"//proc/self/root/{target}",
        "proc cwd": f"/proc/self/cwd/{os.path.relpath(target)}",
        "proc thread": f"/proc/thread-self/root{target}",
        "file:": f"file:{target}",
        "file://": f"file://{target}",
        "file URI with options": f"file:{target}?mode=rw&cache=shared",
        "fragment": f"{target}#x",
        "semicolon": f"{target};x",
        "query": f"{target}?x",
        "full-width dots": dots.replace("..", "\uff0e\uff0e"),
        "two-dot leader": dots.replace("..", "\u2025"),
        "fraction slash": dots.replace("/", "\u2044"),
        "decomposed": unicodedata.normalize("NFD", f"{own}/\u00e9/../../{inside}"),
        "look-alike letter": str(target).replace(VICTIM, VICTIM.replace("a", "\u0430", 1)),
        "other case": str(target).replace(VICTIM, VICTIM.upper()),
        "trailing space": f"{target} ",
        "trailing dot": f"{target}.",
        "trailing slash": f"{target}/",
        "home": f"~/../..{target}",
        "variable": f"$PWD/../{target}",
        "very long": "a" * 5000,
        "very deep": f"{own}/{'v1/../' * 500}../{inside}",
        "link in own folder": str(own / "link"),
        "hard link in own folder": str(own / "twin"),
        "linked folder": str(own / "folder" / target.name),
        "link outside": str(outside / "link"),
        "hard link outside": str(outside / "twin"),
        "linked folder outside": str(outside / "folder" / target.name),
    }
    if names_a_folder:
        forms = {kind: form.removesuffix(f"/{target.name}") for kind, form in forms.items()}
    return forms


ID_FORMS = [
    f"../{VICTIM}", f"./{VICTIM}", f"{VICTIM}/", f"/{VICTIM}", f"{ORGANIZATION}/../{VICTIM}", f"..\\{VICTIM}",
    f"{VICTIM}.", f"{VICTIM} ", f" {VICTIM}", f"{VICTIM}\0", f"{VICTIM}\n", f"{VICTIM}\r\n",
    f"%2e%2e%2f{VICTIM}", f"%252e%252e/{VICTIM}", f"file:{VICTIM}", f"{VICTIM}#", f"{VICTIM};", f"{VICTIM}?",
    f"{VICTIM}%00", f"{VICTIM}::$DATA", f"\uff0e\uff0e/{VICTIM}", VICTIM.upper(), VICTIM.title(),
    VICTIM.replace("a", "\u0430", 1), VICTIM.replace("i", "\u0131", 1), f"\ufeff{VICTIM}", f"{VICTIM}\u200b",
    f"\u202e{VICTIM}", "plant\u0332_victim", "", ".", "..", "...", "~", "-", "*", f"{VICTIM[:-1]}?", "con",
    "NUL", "aux.txt", "COM1", "lpt9.log", "a" * 129, "a" * 5000, "a..b", ".hidden", "$HOME", "`id`", "|id",
    "\ud800",
]  # fmt: skip


def call(command: Command) -> tuple[int, Json, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = command[0](command[1])
    assert out.getvalue().count("\n") == 1
    return status, json.loads(out.getvalue()), out.getvalue() + err.getvalue()


def refused(root: Path, command: Command, name: str) -> None:
    """The command ends with a documented error, and the kernel saw nobody in the victim's folders."""
    with watched(root / "models" / VICTIM) as models, watched(root / "artifacts" / VICTIM) as artifacts:
        status, document, streams = call(command)
    assert models + artifacts == [], name
    assert status in DOCUMENTED, (name, document)
    assert CANARY not in streams, name
    assert "Traceback" not in streams, name


def with_source(config: Json, form: str) -> Json:
    rest = {key: value for key, value in config.items() if key != "scadaDbConfig"}
    return rest | {"dataSource": {"path": form}}


def with_password_file(config: Json, form: str) -> Json:
    return config | {
        "scadaDbConfig": {"host": "127.0.0.1", "port": 1, "database": "d", "table": "t", "passwordFile": form}
    }


PATH_INPUTS: dict[str, tuple[str, Callable[[Path, Json, str], Command]]] = {
    "dataSource.path": (
        "readings.csv",
        lambda file, config, form: (data_prep.main, [str(write_json(file, with_source(config, form)))]),
    ),
    "scadaDbConfig.database": (
        "scada.sqlite",
        lambda file, config, form: (
            data_prep.main,
            [str(write_json(file, config | {"scadaDbConfig": config["scadaDbConfig"] | {"database": form}}))],
        ),
    ),
    "scadaDbConfig.sslRootCert": (
        "readings.csv",
        lambda file, config, form: (
            data_prep.main,
            [
                str(
                    write_json(
                        file,
                        config
                        | {
                            "scadaDbConfig": {
                                "driver": "postgresql", "host": "127.0.0.1", "port": 1, "database": "d", "user": "u",
                                "password": "p", "table": "t", "sslmode": "verify-ca", "sslRootCert": form,
                            }
                        },
                    )
                )
            ],
        ),
    ),
    "scadaDbConfig.passwordFile": (
        "readings.csv",
        lambda file, config, form: (data_prep.main, [str(write_json(file, with_password_file(config, form)))]),
    ),
    "outputPath": (
        "readings.csv",
        lambda file, config, form: (data_prep.main, [str(write_json(file, config | {"outputPath": form}))]),
    ),
    "test_data": (
        "readings.csv",
        lambda file, config, form: (validate_model.main, [str(write_json(file, config)), form]),
    ),
    "prepared_data": (
        "prepared_data.parquet",
        lambda file, config, form: (hyperparameter_tuning.main, [str(write_json(file, config)), form]),
    ),
    "model": (
        "readings.csv",
        lambda file, config, form: (convert_to_onnx.main, [str(write_json(file, config)), form]),
    ),
    "sample_data": (
        "readings.csv",
        lambda file, config, form: (
            convert_to_onnx.main,
            [str(write_json(file, config)), str(own_model()), form],
        ),
    ),
    "config": ("readings.csv", lambda file, config, form: (data_prep.main, [form])),
    "config of ml.predict": (
        "hyperparameter_results/training_config.json",
        lambda file, config, form: (predict.main, [form, str(file), str(file.with_name("o.csv"))]),
    ),
    "CONFIG_DIR": ("readings.csv", lambda file, config, form: (fleet.main, [form])),
    "--summary": (
        "readings.csv",
        lambda file, config, form: (fleet.main, [str(empty_folder(file)), f"--summary={form}"]),
    ),
    "data to score": (
        "readings.csv",
        lambda file, config, form: (predict.main, [str(write_json(file, config)), form, str(file.with_name("o.csv"))]),
    ),
}  # fmt: skip

FOLDERS = {"CONFIG_DIR", "--summary"}

ID_INPUTS: dict[str, Callable[[Path, Json, str], Command]] = {
    "organizationId": lambda file, config, form: (
        train_model.main,
        [str(write_json(file, config | {"organizationId": form}))],
    ),
    "version": lambda file, config, form: (train_model.main, [str(write_json(file, config | {"version": form}))]),
    "ORG": lambda _, __, form: (workspace.main, ["verify", form]),
    "publish VERSION": lambda _, __, form: (workspace.main, ["publish", ORGANIZATION, form]),
    "rollback VERSION": lambda _, __, form: (workspace.main, ["rollback", ORGANIZATION, form]),
    "list ORG": lambda _, __, form: (workspace.main, ["list", form, "--json"]),
    "prune ORG": lambda _, __, form: (workspace.main, ["prune", form, "--keep", "0"]),
    "--version": lambda file, config, form: (
        predict.main,
        [str(write_json(file, config)), str(file), str(file.with_name("o.csv")), f"--version={form}"],
    ),
}


@pytest.mark.parametrize("name", PATH_INPUTS)
def test_a_hostile_path_reaches_nothing_of_another_organisation(two_tenants: Path, database: Path, name: str) -> None:
    file_name, command = PATH_INPUTS[name]
    target = two_tenants / "artifacts" / VICTIM / "v1" / file_name
    for kind, form in path_forms(two_tenants, target, names_a_folder=name in FOLDERS).items():
        refused(
            two_tenants, command(two_tenants.parent / "config.json", plant_config(database), form), f"{name}: {kind}"
        )


@pytest.mark.parametrize("name", ID_INPUTS)
def test_a_hostile_id_reaches_nothing_of_another_organisation(two_tenants: Path, database: Path, name: str) -> None:
    for form in ID_FORMS:
        if name == "rollback VERSION" and form == "":
            continue  # no name means the version published before
        if name == "version" and form in (VICTIM.upper(), VICTIM.title()):
            continue  # a version of plant_a may have this name
        refused(
            two_tenants, ID_INPUTS[name](two_tenants.parent / "config.json", plant_config(database), form), repr(form)
        )


def test_reference_scores_reach_nothing_of_another_organisation(two_tenants: Path) -> None:
    paths = OrganizationPaths(ORGANIZATION, two_tenants)
    rows = pd.DataFrame({"asset_id": ["a"], "timestamp": pd.to_datetime(["2024-01-01T00:00:00Z"])})
    target = two_tenants / "artifacts" / VICTIM / "v1" / "readings.csv"
    for kind, form in path_forms(two_tenants, target).items():
        reference = ReferenceScore(name="alarm", path=form, column="temperature")
        with watched(two_tenants / "artifacts" / VICTIM) as touched, pytest.raises(EagleError) as failure:
            read_reference(reference, rows, paths)
        assert touched == [], kind
        assert CANARY not in failure.value.message, kind


def test_a_summary_never_lands_with_another_organisation(two_tenants: Path) -> None:
    folder = two_tenants / "artifacts" / VICTIM / "v1"
    for kind, form in path_forms(two_tenants, folder / "readings.csv", names_a_folder=True).items():
        with watched(folder.parent) as touched, suppress(EagleError):
            write_summary(Summary((), 0.0, None), summary_folder(form))
        assert touched == [], kind


def test_what_tuning_wrote_for_another_organisation_is_not_this_ones_configuration(two_tenants: Path) -> None:
    """The victim's tuned configuration, which may be used for the victim, put where plant_a's belongs."""
    own = two_tenants / "artifacts" / ORGANIZATION / "v1" / "hyperparameter_results" / "training_config.json"
    tuned = json.loads(own.read_text())
    own.write_text(json.dumps(tuned | {"organizationId": VICTIM}))
    refused(two_tenants, (data_prep.main, [str(own)]), "named another organisation")
    own.write_text(json.dumps(tuned))
    status, document, _ = call((data_prep.main, [str(own)]))
    assert status == 0, document


def test_what_is_written_never_lands_with_another_organisation(two_tenants: Path, database: Path) -> None:
    config = write_json(two_tenants.parent / "config.json", plant_config(database))
    for kind, form in path_forms(two_tenants, two_tenants / "artifacts" / VICTIM / "v1" / "readings.csv").items():
        if kind in ("hard link outside", "other case"):
            continue  # a new file takes the place of the name; what the other name leads to stays
        refused(two_tenants, (predict.main, [str(config), str(config), form]), kind)


def test_the_watch_sees_an_open_a_listing_and_a_write(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/file").write_text("x")
    with watched(tmp_path) as touched:
        (tmp_path / "sub/file").read_text()
    assert f"{tmp_path}/sub/file" in touched
    with watched(tmp_path) as touched:
        list((tmp_path / "sub").iterdir())
    assert touched
    with watched(tmp_path) as touched:
        (tmp_path / "new").touch()
    assert f"{tmp_path}/new" in touched
