"""Saves to files are storage writes; saves into memory are not; a file is left where it stood."""

from __future__ import annotations

import io
import os
import tempfile

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from PIL import Image

from posemon_otel import testing

IMAGE = {"pose.image.width": 8, "pose.image.height": 6}
PUT = {"pose.storage.system": "file", "pose.storage.operation": "put", "pose.outcome": "ok"}


@pytest.fixture
def telemetry():
    with testing.capture() as captured:
        yield captured


@pytest.fixture
def image():
    return Image.new("RGB", (8, 6), "red")


@pytest.mark.parametrize("sort", [str, os.fsencode, lambda path: path])
def test_a_save_to_a_path(telemetry, image, tmp_path, sort):
    path = tmp_path / "pose.png"
    assert image.save(sort(path) if sort is not str else str(path)) is None
    (span,) = telemetry.spans
    assert (span.name, span.kind, span.status.status_code) == ("put file", SpanKind.CLIENT, StatusCode.UNSET)
    assert span.instrumentation_scope.name == "posemon_otel.instrumentation.pillow"
    size = path.stat().st_size
    assert dict(span.attributes) == PUT | IMAGE | {"pose.image.format": "png", "pose.storage.object.size": size}
    with Image.open(path) as saved:
        assert saved.size == (8, 6)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [("a.jpg", {}, "jpeg"), ("a.WEBP", {}, "webp"), ("a.bin", {"format": "PNG"}, "png"), ("a.tif", {}, "tiff")],
)
def test_the_format_is_the_one_that_pillow_takes(telemetry, image, tmp_path, name, options, told):
    image.save(tmp_path / name, **options)
    (span,) = telemetry.spans
    assert span.attributes["pose.image.format"] == told
    with Image.open(tmp_path / name) as saved:
        assert saved.format.lower() == told


def test_a_save_into_memory_is_no_storage_write(telemetry, image):
    memory = io.BytesIO()
    memory.name = "pose.png"
    image.save(memory)
    assert telemetry.spans == ()
    assert memory.tell() == len(memory.getvalue())


def test_an_open_file_is_left_where_it_stood(telemetry, image, tmp_path):
    path = tmp_path / "pose.mpo"
    with path.open("w+b") as file:
        image.save(file, "PNG")
        stood = file.tell()
        file.write(b"more")
        assert file.tell() == stood + 4
    (span,) = telemetry.spans
    assert span.attributes["pose.storage.object.size"] == stood
    assert path.read_bytes().endswith(b"more")


def test_an_open_file_that_stands_in_its_middle(telemetry, image, tmp_path):
    with (tmp_path / "pose.png").open("w+b") as file:
        file.write(b"x" * 5000)
        file.seek(0)
        image.save(file, "PNG")
        stood = file.tell()
        assert stood < 5000
    (span,) = telemetry.spans
    assert span.attributes["pose.storage.object.size"] == 5000
    assert stood == len(_bytes(image))


def _bytes(image):
    memory = io.BytesIO()
    image.save(memory, "PNG")
    return memory.getvalue()


def test_several_frames_in_one_file(telemetry, image, tmp_path):
    image.save(tmp_path / "poses.gif", save_all=True, append_images=[Image.new("RGB", (8, 6), "blue")])
    (span,) = telemetry.spans
    assert span.attributes["pose.image.format"] == "gif"
    with Image.open(tmp_path / "poses.gif") as saved:
        assert saved.n_frames == 2


def test_a_pipe_has_no_size(telemetry, image):
    read, write = os.pipe()
    with os.fdopen(write, "wb") as file:
        image.save(file, "PNG")
    os.close(read)
    assert telemetry.spans == ()


def test_a_named_temporary_file(telemetry, image):
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        image.save(file)
        (span,) = telemetry.spans
        assert span.attributes["pose.storage.object.size"] == file.tell()
        assert span.attributes["pose.image.format"] == "png"


@pytest.mark.parametrize(
    ("name", "options", "error", "kind", "reason"),
    [
        ("no/such/folder.png", {}, FileNotFoundError, "STORAGE_ERROR", "not_found"),
        ("pose.unknown", {}, ValueError, "STORAGE_ERROR", "bad_request"),
        ("pose.bin", {"format": "nonsense"}, KeyError, "STORAGE_ERROR", "unknown"),
    ],
)
def test_a_failing_save(telemetry, image, tmp_path, name, options, error, kind, reason):
    with pytest.raises(error):
        image.save(tmp_path / name, **options)
    (span,) = telemetry.spans
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == kind
    assert span.attributes["pose.error.reason"] == reason
    assert "pose.storage.object.size" not in span.attributes


def test_a_path_is_told_only_as_a_hash(image, tmp_path):
    with testing.capture(hash_key="k" * 32) as captured:
        image.save(tmp_path / "pose.png")
        (span,) = captured.spans
    assert span.attributes["pose.storage.key.hash"]
    assert "pose.png" not in span.to_json()


def test_subclasses_save_through_super(telemetry, image, tmp_path):
    class Mine(Image.Image):
        def save(self, fp, format=None, **params):
            super().save(fp, format, **params)

    mine = Mine()
    mine.__dict__.update(image.__dict__)
    mine.save(tmp_path / "pose.png")
    assert [span.name for span in telemetry.spans] == ["put file"]
