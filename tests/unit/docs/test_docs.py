"""The documentation says what the code does: generated parts, examples, commands, paths and links."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import generate
from docs.reference_tables import look_back
from ml.config import OrganizationConfig
from ml.errors import ERRORS
from ml.evaluation.checks.gates import GATES
from ml.options.base import Section
from ml.windows import operations
from ml.windows.catalogue import FAMILIES, PROFILES

REPOSITORY = Path(__file__).resolve().parents[3]
README = REPOSITORY / "README.md"
CONTRIBUTING = REPOSITORY / "CONTRIBUTING.md"
DOCS = sorted((REPOSITORY / "docs").glob("*.md"))
PAGES = [README, CONTRIBUTING, *DOCS]
COMMANDS = REPOSITORY / "docs/commands.md"
NOTEBOOKS = REPOSITORY / "docs/notebooks.md"
TROUBLESHOOTING = REPOSITORY / "docs/troubleshooting.md"


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    return blocks_in(page.read_text(encoding="utf-8"), language)


def blocks_in(text: str, language: str) -> list[str]:
    """Blocks of one language, "" for commands; found one after the other, so that the end of none begins another."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in fenced if name == language]


def code_words() -> set[str]:
    """Everything in a page that stands in back quotes or in a block of commands."""
    return set().union(*(code_words_of(page) for page in PAGES))


def code_words_of(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8")
    commands = "\n".join(blocks_in(text, ""))
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([^`\n]+)`", prose)) | {line.split("#")[0].strip() for line in commands.splitlines()}


def test_each_of_twenty_changes_has_one_place_that_is_there() -> None:
    text = CONTRIBUTING.read_text(encoding="utf-8")
    places = re.findall(r"^\| [^|]+ \| `(\S+)`: `(\S+)`", text, re.MULTILINE)
    assert len(places) == len({path for path, _ in places}) == 20
    for path, name in places:
        place = REPOSITORY / path
        files = [place] if place.is_file() else sorted(place.glob("*.py"))
        assert any(re.search(rf"(?<![\w-]){name}\b", file.read_text(encoding="utf-8")) for file in files), (path, name)


class TestGenerated:
    def test_everything_is_up_to_date(self) -> None:
        assert [name_of(file) for file in generate.outdated()] == [], "run `make docs`"

    def test_every_part_is_used(self) -> None:
        used = {name for page in PAGES for name in re.findall(r"<!-- generated: (.+?) -->", page.read_text("utf-8"))}
        assert used == set(generate.PARTS)

    def test_text_between_markers_is_replaced_and_the_rest_kept(self) -> None:
        page = "before\n<!-- generated: exit codes -->\nSTALE\n<!-- end generated -->\nafter\n"
        filled = generate.filled(page)
        assert filled.startswith("before\n<!-- generated: exit codes -->\n| Exit |")
        assert filled.endswith("|\n<!-- end generated -->\nafter\n")
        assert "STALE" not in filled
        assert generate.filled(filled) == filled

    def test_a_part_that_does_not_exist_is_an_error(self) -> None:
        with pytest.raises(KeyError, match="no such part"):
            generate.filled("<!-- generated: no such part -->\n<!-- end generated -->\n")

    def test_check_reports_and_changes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stale = tmp_path / "README.md"
        stale.write_text("<!-- generated: exit codes -->\nSTALE\n<!-- end generated -->\n")
        monkeypatch.setattr(generate, "REPOSITORY", tmp_path)
        monkeypatch.setattr(generate, "SCHEMAS", {})
        monkeypatch.setattr(generate, "MODULES", {})
        assert generate.main(["--check"]) == 1
        assert "STALE" in stale.read_text()
        assert generate.main([]) == 0
        assert "STALE" not in stale.read_text()
        assert generate.main(["--check"]) == 0
        assert capsys.readouterr().out == "out of date: README.md\nwritten: README.md\n"

    def test_the_committed_schema_is_the_models_schema(self) -> None:
        committed = json.loads((REPOSITORY / "ml/config/organization.schema.json").read_text(encoding="utf-8"))
        assert committed == OrganizationConfig.json_schema()

    def test_every_key_of_every_section_is_in_the_reference(self) -> None:
        reference = (REPOSITORY / "docs/configuration.md").read_text(encoding="utf-8")
        missing = [
            alias
            for section in sections(OrganizationConfig)
            for name, field in section.model_fields.items()
            if f"| `{(alias := field.alias or name)}` |" not in reference
        ]
        assert missing == []

    def test_every_family_and_operation_is_described(self) -> None:
        page = (REPOSITORY / "docs/features.md").read_text(encoding="utf-8")
        for family in (*FAMILIES, *PROFILES.values()):
            assert f"### {family.name}\n" in page
            for operation in family.operations:
                assert operation.formula.replace("|", "\\|") in page

    @pytest.mark.parametrize(
        ("operation", "words"),
        [
            (operations.Value, "1"),
            (operations.Lag, "k + 1"),
            (operations.Acceleration, "3"),
            (operations.Rolling, "w"),
            (operations.Trend, "w₂"),
            (operations.ServedLag, "k + 1"),
            (operations.ServedRolling, "w"),
        ],
    )
    def test_look_back_is_told_in_the_symbols_of_the_formula(
        self, operation: type[operations.Operation], words: str
    ) -> None:
        assert look_back(operation) == words

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
    def test_every_error_is_in_the_table_of_exit_codes(self, error: type[Exception]) -> None:
        row = f"| {error.exit_code} | `{error.code}` | {error.meaning} |"  # type: ignore[attr-defined]
        assert row in COMMANDS.read_text(encoding="utf-8")

    def test_every_error_code_has_its_section_of_troubleshooting_and_no_other_is_there(self) -> None:
        page = TROUBLESHOOTING.read_text(encoding="utf-8")
        sections = dict(re.findall(r"^## (.+)\n\n(.+)$", page, re.MULTILINE))
        assert sorted(sections) == sorted({error.code for error in ERRORS})

    def test_the_index_names_every_page_once(self) -> None:
        index = REPOSITORY / "docs/index.md"
        listed = re.findall(r"^- \[\S+\]\(([\w-]+\.md)\): .+\.$", index.read_text(encoding="utf-8"), re.MULTILINE)
        assert sorted(listed) == [page.name for page in DOCS if page != index]

    def test_the_glossary_is_in_alphabetical_order(self) -> None:
        page = (REPOSITORY / "docs/glossary.md").read_text(encoding="utf-8")
        words = re.findall(r"^\| (.+?) \| .+\. \|$", page, re.MULTILINE)
        assert len(words) > 40
        assert words == sorted(words)
        assert len(words) == page.count("\n|") - 2  # heading and rule

    def test_the_readme_is_short(self) -> None:
        assert len(README.read_text(encoding="utf-8").splitlines()) < 200


def sections(model: type[Section]) -> Iterator[type[Section]]:
    """A section and all that it holds, found in its annotations."""
    yield model
    for field in model.model_fields.values():
        for inner in sections_in(field.annotation):
            yield from sections(inner)


def sections_in(annotation: object) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from sections_in(argument)


class TestExamples:
    @pytest.mark.parametrize(
        "example",
        [
            pytest.param(text, id=f"{name_of(page)}-{number}")
            for page in PAGES
            for number, text in enumerate(blocks(page, "json"))
        ],
    )
    def test_every_json_example_is_a_valid_configuration(self, example: str) -> None:
        OrganizationConfig.from_json(example)

    def test_the_python_examples_run(self, tmp_path: Path) -> None:
        """In one process and in order, from ml/, as a reader would who pastes one after the other."""
        code = "\n".join(blocks(NOTEBOOKS, "python"))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=REPOSITORY / "ml",
            env=os.environ | {"ML_BASE_PATH": str(tmp_path), "TMPDIR": str(tmp_path)},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "vibration__mean__w=24" in done.stdout
        by_window = re.search(r"probability of a failure within 48 h: (0\.\d{3})$", done.stdout, re.MULTILINE)
        by_readings = re.search(r"from its readings: (0\.\d{3})$", done.stdout, re.MULTILINE)
        assert by_window is not None
        assert by_readings is not None
        assert by_readings[1] == by_window[1]
        assert (tmp_path / "models/docs_example/model_v1.onnx").is_file()

    def test_python_blocks_stand_where_they_are_run(self) -> None:
        assert [
            name_of(page) for page in PAGES if page not in (NOTEBOOKS, CONTRIBUTING) and blocks(page, "python")
        ] == []

    def test_the_commands_of_the_readme_run_in_their_order(self, tmp_path: Path) -> None:
        """As in a fresh clone, with a shorter history and without requirements on so small a model.

        The demo, which has tests of its own, is left out; what it would leave is the workspace of a run.
        """
        text = README.read_text(encoding="utf-8")
        section = text.partition("\n## Your CSV")[2].partition("\n## ")[0]
        (report,) = re.findall(r"The report is\n`(\S+)`", section)
        clone(tmp_path)
        lenient = {"validationConfig": dict.fromkeys(GATES)}
        (tmp_path / "lenient.py").write_text(
            "import json, pathlib; file = pathlib.Path('mine/config.json')\n"
            f"file.write_text(json.dumps(json.loads(file.read_text()) | {lenient!r}))"
        )
        made, configured, *rest = blocks_in(section, "")
        assert " init " in configured
        script = "\n".join(["set -eu", made, configured, ".venv/bin/python lenient.py", *rest])
        assert "simulate()" in script
        script = script.replace("simulate()", "simulate(n_assets=8, days=80, interval_seconds=3600)")
        after_the_demo = [block for block in blocks_in(text, "") if "demo/config.json" in block]
        script += "ln -s mine demo\n" + "".join(after_the_demo)
        env = {key: value for key, value in os.environ.items() if key != "ML_BASE_PATH"}
        done = subprocess.run(
            ["sh", "-c", script], cwd=tmp_path, env=env, capture_output=True, encoding="utf-8", check=False
        )
        assert done.returncode == 0, done.stdout[-2000:]
        assert (tmp_path / report).is_file()
        assert (tmp_path / "mine/scores.csv").is_file()
        reused = json.loads(done.stdout.splitlines()[-1])["steps"]
        assert all(step["reused"] for step in reused)


def clone(folder: Path) -> None:
    """What a fresh clone has after `make install`, without installing."""
    for name in ("ml", "simulation"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / ".venv/bin").mkdir(parents=True)
    python = folder / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    (folder / ".venv/installed").touch()
    make = ["make", "--silent", "-f", str(REPOSITORY / "Makefile"), "-o", ".venv/installed", ".venv/bin/eagle-ml"]
    subprocess.run(make, cwd=folder, check=True)


class TestNames:
    def test_every_make_target_exists(self) -> None:
        targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        named = {target for word in code_words() for target in re.findall(r"^make ([a-z]+)$", word)}
        assert {"demo", "test", "docs"} <= named
        assert named <= targets

    def test_every_script_and_module_exists(self) -> None:
        words = " ".join(code_words())
        scripts = set(re.findall(r"\bscripts/\w+\.py", words))
        assert len(scripts) == 5
        assert [script for script in scripts if not (REPOSITORY / "ml" / script).is_file()] == []
        for module in set(re.findall(r"-m (ml[.\w]*)", words)):
            folder = REPOSITORY.joinpath(*module.split("."))
            assert (folder / "__main__.py").is_file() or folder.with_suffix(".py").is_file(), module

    def test_every_path_exists(self) -> None:
        text = " ".join(code_words())
        paths = set(re.findall(r"(?<![\w/.])(?:ml|docs|tests|examples)/[\w./-]*", text))
        assert len(paths) > 5
        assert sorted(path for path in paths if not (REPOSITORY / path).exists()) == []

    def test_every_direct_dependency_has_its_reason(self) -> None:
        direct = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").partition("\n\n")[0]
        names = re.findall(r"^([\w.-]+)==", direct, re.MULTILINE)
        table = (REPOSITORY / "docs/dependencies.md").read_text(encoding="utf-8")
        assert len(names) > 10
        assert [name for name in names if not re.search(rf"^\|.*\b{name}\b.*\|.*\|$", table, re.MULTILINE)] == []


class TestLinks:
    @pytest.mark.parametrize("page", [*PAGES, REPOSITORY / "CHANGELOG.md"], ids=name_of)
    def test_every_internal_link_leads_somewhere(self, page: Path) -> None:
        broken = []
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(link)
        assert broken == []

    def test_headings_become_anchors_as_on_github(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text("# A.b: c, d\n```\n# no heading\n```\n## How far to trust `them`\n")
        assert anchors(page) == {"ab-c-d", "how-far-to-trust-them"}


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
