"""requirements.lock holds exactly what requirements-dev.txt pins, each with hashes."""

from __future__ import annotations

import re

from docs.locked_requirements import HEADER, LOCK, REPOSITORY, lock_text


def name_of(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def pinned() -> set[tuple[str, str]]:
    lines = [
        line
        for file in ("requirements.txt", "requirements-fleet.txt", "requirements-dev.txt")
        for line in (REPOSITORY / file).read_text(encoding="utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    ]
    return {(name_of(name), version) for name, _, version in (line.partition("==") for line in lines)}


def test_the_lock_pins_what_the_requirements_pin() -> None:
    text = LOCK.read_text(encoding="utf-8").removeprefix(HEADER)
    locked = re.findall(
        r"^([\w.-]+)==([\w.+-]+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE
    )
    assert {(name_of(name), version) for name, version, _ in locked} == pinned()
    assert "".join(f"{name}=={version} \\\n{hashes}" for name, version, hashes in locked) == text


def test_a_package_has_the_hashes_of_all_versions_of_python() -> None:
    text = lock_text([{("a", "1"): "0" * 64}, {("a", "1"): "1" * 64, ("B", "2"): "2" * 64}])
    lines = ["a==1 \\", f"    --hash=sha256:{'0' * 64} \\", f"    --hash=sha256:{'1' * 64}"]
    assert text == HEADER + "\n".join([*lines, "B==2 \\", f"    --hash=sha256:{'2' * 64}"]) + "\n"
