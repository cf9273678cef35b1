"""Which model a caller gets, how often it is read, and what is refused."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
import pytest

from ml.errors import EagleError, IntegrityError, IsolationError, MissingArtifactError
from ml.export.session import open_model
from ml.predict import cache, load_model
from ml.predict.cache import ModelCache
from ml.predict.model import LoadedModel, read_model
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.manifest import MANIFEST, write_manifest
from ml.workspace.versions.store import publish, rollback


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Versions in the order in which they were read from the disk."""
    names: list[str] = []

    def counted(paths: OrganizationPaths, version: str) -> LoadedModel:
        names.append(version)
        return read_model(paths, version)

    monkeypatch.setattr(cache, "read_model", counted)
    return names


def test_the_published_version_is_read_once_and_found_again(paths, reads):
    models = ModelCache()
    first = models.load(paths, "current")
    assert first.version == "v1"
    assert models.load(paths, "current") is first
    assert models.load(paths, "v1") is first
    assert reads == ["v1"]


def test_a_swap_of_current_is_noticed_and_a_rollback_finds_the_old_model_again(paths, reads):
    models = ModelCache()
    first = models.load(paths, "current")
    publish(paths, "v2")
    assert models.load(paths, "current").version == "v2"
    rollback(paths)
    assert models.load(paths, "current") is first
    assert reads == ["v1", "v2"]


def test_a_version_with_another_content_is_read_again(paths, reads):
    models = ModelCache()
    before = models.load(paths, "v3")
    folder = paths.version("v3")
    (folder / "note.txt").write_text("trained again")
    write_manifest(folder, "plant_a", "v3")
    after = models.load(paths, "v3")
    assert after is not before
    assert after.manifest_digest != before.manifest_digest
    assert reads == ["v3", "v3"]


def test_the_models_used_longest_ago_are_dropped(paths, reads):
    models = ModelCache(capacity=2)
    kept = models.load(paths, "v1")
    models.load(paths, "v2")
    models.load(paths, "v1")
    models.load(paths, "v3")
    assert len(models) == 2
    assert models.load(paths, "v1") is kept
    models.load(paths, "v2")
    assert reads == ["v1", "v2", "v3", "v2"]


def test_organisations_do_not_share_models(root, paths):
    models = ModelCache()
    other = models.load(OrganizationPaths("plant_b", root), "v1")
    assert (other.organization_id, models.load(paths, "v1").organization_id) == ("plant_b", "plant_a")


def test_threads_that_want_the_same_model_read_it_once(paths, reads):
    models, together = ModelCache(), threading.Barrier(8)

    def load(_: int) -> LoadedModel:
        together.wait()
        return models.load(paths, "current")

    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(load, range(8)))
    assert {id(model) for model in loaded} == {id(loaded[0])}
    assert reads == ["v1"]


def test_threads_get_a_whole_version_while_current_is_swapped(paths):
    models, stop = ModelCache(capacity=1), threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for version in ("v2", "v1"):
                publish(paths, version)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        loaded: list[LoadedModel] = []
        until = time.monotonic() + 30  # on a machine too busy to publish anything meanwhile
        with ThreadPoolExecutor(3) as pool:
            while len(loaded) < 60 or (len({model.version for model in loaded}) < 2 and time.monotonic() < until):
                loaded += pool.map(lambda _: models.load(paths, "current"), range(6))
    finally:
        stop.set()
        swapper.join()
    assert {model.version for model in loaded} == {"v1", "v2"}
    assert all(model.metadata.version == model.version for model in loaded)


def test_the_function_finds_the_workspace_by_itself(root, monkeypatch):
    monkeypatch.setenv("ML_BASE_PATH", str(root))
    assert load_model("plant_a") is load_model("plant_a", "v1", root=root)


def refused(paths: OrganizationPaths, version: str = "v1") -> EagleError:
    """The error of a version that does not load; and it must not have become a cached model."""
    models = ModelCache()
    with pytest.raises(EagleError) as failure:
        models.load(paths, version)
    assert len(models) == 0
    return failure.value


def test_what_is_not_there_is_told(root, paths):
    assert isinstance(refused(paths, "v9"), MissingArtifactError)
    assert "convert_to_onnx" in (refused(paths, "plain").hint or "")
    unpublished = refused(OrganizationPaths("plant_b", root), "current")
    assert isinstance(unpublished, MissingArtifactError)
    assert "nothing is published" in unpublished.message


@pytest.mark.parametrize("name", ["model.onnx", "metadata.json", "model.txt", "window.onnx"])
def test_a_changed_byte_in_any_file_is_refused(paths, name):
    file = paths.version("v1") / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    error = refused(paths)
    assert isinstance(error, IntegrityError)
    assert name in error.message


def test_another_organisations_version_is_refused(root, paths):
    folder = paths.version("v1")
    shutil.rmtree(folder)
    shutil.copytree(OrganizationPaths("plant_b", root).version("v1"), folder)
    assert "another organisation" in refused(paths).message
    manifest = folder / MANIFEST
    manifest.write_text(manifest.read_text().replace("plant_b", "plant_a"))
    error = refused(paths)
    assert isinstance(error, IntegrityError)
    assert "metadata.json" in error.message


def test_a_link_to_another_organisation_is_refused(root, paths):
    other = OrganizationPaths("plant_b", root).version("v1")
    shutil.rmtree(paths.version("v2"))
    paths.version("v2").symlink_to(other)
    assert isinstance(refused(paths, "v2"), IsolationError)
    paths.current.unlink()
    paths.current.symlink_to(other)
    assert isinstance(refused(paths, "current"), IsolationError)


def test_an_onnx_file_with_external_data_is_refused_though_its_manifest_lists_it(paths):
    folder = paths.version("v1")
    model = onnx.load_model_from_string((folder / "model.onnx").read_bytes())
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../plant_b/versions/v1/model.onnx")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    write_manifest(folder, "plant_a", "v1")
    error = refused(paths)
    assert isinstance(error, IntegrityError)
    assert "external_data" in error.message


def test_the_models_are_what_lies_on_the_disk(paths):
    model = ModelCache().load(paths, "v1")
    shipped = open_model(Path(paths.version("v1") / "model.onnx"))
    assert model.scorer.n_features == shipped.get_inputs()[0].shape[1] == len(model.metadata.features)
