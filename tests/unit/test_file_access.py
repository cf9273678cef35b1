"""Nothing but ml.workspace opens or changes files of the workspace by itself, read from the source."""

from __future__ import annotations

import ast

from tests.unit.test_architecture import MODULES

METHODS = {
    "open",
    "read_bytes",
    "read_text",
    "write_bytes",
    "write_text",
    "unlink",
    "rename",
    "mkdir",
    "rmdir",
    "touch",
}
METHODS |= {"symlink_to", "hardlink_to", "chmod", "lchmod"}
LIBRARIES = {"os", "shutil", "tempfile", "gzip"}
OS_HARMLESS = {"environ", "cpu_count", "getpid", "urandom", "sched_getaffinity", "process_cpu_count", "fork", "name"}
OS_HARMLESS |= {"getppid", "_exit", "wait4", "waitstatus_to_exitcode", "kill", "killpg", "getpgid"}
OS_HARMLESS |= {"sysconf", "path", "cpu_count", "register_at_fork", "access", "getuid", "fsdecode", "strerror"}

# What opens files by itself, and why that is not a way into the workspace.
REASONS = {
    "ml.config": "the configuration, which the user names and which lies anywhere",
    "ml.scale.partitioned.member": "its own standard output",
    "ml.scale.fleet.budget": "how much memory the kernel says that there is",
    "ml.scale.fleet.checker": "the pipes that it was started with",
    "ml.scale.fleet.child": "its own standard input, and how much memory the kernel says that it uses",
    "ml.scale.fleet.step_process": "the pipe from a step",
    "ml.scale.processes": "how much memory the kernel says that a process uses",
    "ml.options.access.secrets": "a secret in the operator's folder, called by a name that leads nowhere else",
    "ml.learning.search.storage": "the journal that OrganizationPaths.tuning_file has let through",
    "ml.private_folders": "folders of the user's own, for caches of libraries; it refuses what others may write",
    "ml.ingest.sources.one_file": "a data file that OrganizationPaths.readable_file has let through",
    "ml.ingest.sources.other_files": "as ml.ingest.sources.one_file, and the one file in an archive",
    "ml.ingest.sources.sqlite": "a database file that OrganizationPaths.readable_file has let through",
    "ml.ingest.prepared_csv": "the staged file that ml.workspace.files made for this process",
    "ml.scale.search_worker": "the pipes that it was started with",
    "ml.windows.parallel": "how much CPU time the kernel says that there is",
    "ml.windows.kernels.compiling": "the source text of this package",
}


def file_access(source: str) -> list[str]:
    """Every call in `source` that opens, makes, moves or removes a file, as ``line: call``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name):
            bad = called.id == "open"
        elif isinstance(called, ast.Attribute):
            owner = called.value.id if isinstance(called.value, ast.Name) else ""
            of_library = owner in LIBRARIES and called.attr not in OS_HARMLESS
            bad = of_library or called.attr in METHODS
        else:
            bad = False
        if bad:
            found.append(f"{node.lineno}: {ast.unparse(called)}")
    return found


def is_workspace(module: str) -> bool:
    return module.startswith("ml.workspace")


def test_only_the_workspace_opens_files() -> None:
    found = {
        module: calls
        for module, file in MODULES.items()
        if not is_workspace(module) and (calls := file_access(file.read_text(encoding="utf-8")))
    }
    assert {module: calls for module, calls in found.items() if module not in REASONS} == {}
    assert set(REASONS) - set(found) == set(), "an exception that is not needed any more"


def test_the_reader_of_calls_finds_what_it_must() -> None:
    source = "open('x')\np.write_text('x')\nos.rename(a, b)\nshutil.copyfile(a, b)\nos.environ.get('x')\nx.opened(p)\n"
    assert file_access(source) == ["1: open", "2: p.write_text", "3: os.rename", "4: shutil.copyfile"]
