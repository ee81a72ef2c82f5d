"""Pictures of a fixed shape, from a writer that may come and go."""

import numpy as np
import pytest

from runtime.shm import Shm

SHAPES = [((120, 160, 3), np.uint8), ((120, 160), np.float32), ((5, 7, 3), np.uint8), ((1,), "<i8")]


@pytest.mark.parametrize(("shape", "dtype"), SHAPES)
def test_pictures_come_back_byte_for_byte_and_read_only(
    shm: Shm, shape: tuple[int, ...], dtype: str
) -> None:
    reader = shm.image_reader("camera.cell.rgb")
    assert reader.latest() is None
    writer = shm.image_writer("camera.cell.rgb", shape, dtype)
    assert reader.latest() is None
    rng = np.random.default_rng(1)
    for sequence in range(1, 8):
        picture = rng.integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8).view(dtype)
        picture = np.ascontiguousarray(picture.reshape(shape))
        assert writer.write(picture, capture_ns=sequence * 100) == sequence
        image = reader.latest()
        assert image is not None
        assert image.array.tobytes() == picture.tobytes()
        assert (image.array.shape, image.array.dtype) == (shape, np.dtype(dtype))
        assert (image.capture_ns, image.sequence) == (sequence * 100, sequence)
        assert not image.array.flags.writeable
    assert reader.sequence() == 7


def test_a_slice_that_is_not_contiguous_is_written_as_it_looks(shm: Shm) -> None:
    writer = shm.image_writer("camera.bin.rgb", (4, 4), np.uint8)
    wide = np.arange(32, dtype=np.uint8).reshape(4, 8)
    writer.write(wide[:, ::2], capture_ns=1)
    image = shm.image_reader("camera.bin.rgb").latest()
    assert image is not None
    assert (image.array == wide[:, ::2]).all()


def test_a_picture_of_another_shape_or_type_is_refused(shm: Shm) -> None:
    writer = shm.image_writer("camera.bin.rgb", (4, 4), np.uint8)
    with pytest.raises(TypeError, match="the topic's uint8"):
        writer.write(np.zeros((4, 5), np.uint8), capture_ns=1)
    with pytest.raises(TypeError, match="the topic's uint8"):
        writer.write(np.zeros((4, 4), np.float32), capture_ns=1)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((), "u1"), ((0, 4), "u1"), ((1 << 20, 1 << 20), "u1"), ((4,), "c16")]
)
def test_shapes_that_no_camera_has_are_refused(
    shm: Shm, shape: tuple[int, ...], dtype: str
) -> None:
    with pytest.raises(OSError, match="is no image"):
        shm.image_writer("camera.bin.rgb", shape, dtype)


def test_a_camera_that_changes_its_shape_is_followed_by_its_readers(shm: Shm) -> None:
    reader = shm.image_reader("camera.bin.rgb")
    first = shm.image_writer("camera.bin.rgb", (4, 4), np.uint8)
    first.write(np.ones((4, 4), np.uint8), capture_ns=1)
    assert reader.latest() is not None
    del first
    shm.image_writer("camera.bin.rgb", (2, 6), np.uint8).write(
        np.full((2, 6), 9, np.uint8), capture_ns=2
    )
    image = reader.latest()
    assert image is not None
    assert image.array.shape == (2, 6)


@pytest.mark.parametrize("name", ["../escape", "", ".hidden", "Upper", "a/b", "x" * 65])
def test_names_that_lead_out_of_the_folder_are_refused(shm: Shm, name: str) -> None:
    with pytest.raises(OSError, match="is no topic"):
        shm.image_reader(name)
