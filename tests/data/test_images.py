import chex
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.data import images
from panorax.testing.tolerances import NUMBER

FILES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]


@pytest.fixture
def cifar(tmp_path):
    """A folder of six files with two images each, and their records."""
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (6, 2, images.CIFAR10_RECORD)).astype(np.uint8)
    records[:, :, 0] = np.arange(12).reshape(6, 2) % 10
    for name, pair in zip(FILES, records, strict=True):
        pair.tofile(tmp_path / name)
    return tmp_path, records


def config(path):
    return images.Config(path=str(path), size=32, channels=3)


def test_a_cifar10_record_is_a_label_and_three_planes(cifar):
    folder, records = cifar
    x, label, x_held, label_held = images.images(config(folder))
    chex.assert_shape([x, x_held], [(10, 32, 32, 3), (2, 32, 32, 3)])
    chex.assert_type(x, np.uint8)
    np.testing.assert_array_equal(label, records[:5, :, 0].ravel())
    np.testing.assert_array_equal(label_held, records[5, :, 0])
    for colour in range(3):
        plane = records[3, 1, 1 + 1024 * colour :][:1024].reshape(32, 32)
        np.testing.assert_array_equal(x[7, :, :, colour], plane)


def test_batches_are_scaled_and_visit_each_image_once_an_epoch(cifar):
    cfg = config(cifar[0])
    split = images.images(cfg)
    first, second = (images.batch(cfg, 5, 0, step) for step in range(2))
    assert sorted(np.concatenate([first["label"], second["label"]])) == sorted(split.label)
    chex.assert_type([first["x"], first["label"]], [np.float32, np.int32])
    row = int(np.argmax((images.scaled(split.x) == first["x"][0]).all((1, 2, 3))))
    np.testing.assert_allclose(first["x"][0], split.x[row] / 127.5 - 1, **NUMBER)
    np.testing.assert_allclose(images.held_out(cfg)["x"], split.x_held / 127.5 - 1, **NUMBER)


def test_the_parent_folder_is_accepted(cifar, tmp_path_factory):
    parent = tmp_path_factory.mktemp("parent")
    (parent / images.CIFAR10).symlink_to(cifar[0])
    chex.assert_trees_all_equal(images.cifar10(parent), images.cifar10(cifar[0]))


def test_a_missing_file_is_named(cifar):
    (cifar[0] / "data_batch_4.bin").unlink()
    message = r"data_batch_4.bin cannot be read \(No such file.*needs data_batch_1.bin"
    with pytest.raises(UserError, match=message):
        images.images(config(cifar[0]))


@pytest.mark.parametrize("size", [0, images.CIFAR10_RECORD - 1])
def test_a_file_of_the_wrong_size_is_named(cifar, size):
    (cifar[0] / "test_batch.bin").write_bytes(bytes(size))
    message = f"test_batch.bin has {size} bytes; CIFAR-10 needs a multiple of 3073"
    with pytest.raises(UserError, match=message):
        images.images(config(cifar[0]))


def test_images_that_do_not_fit_the_config_are_rejected(cifar):
    message = r"images \(12, 32, 32, 3\), labels 0 to 9, do not fit \(8, 8, 1\)"
    with pytest.raises(UserError, match=message):
        images.images(images.Config(path=str(cifar[0])))
    with pytest.raises(UserError, match="labels 0 to 9, do not fit .* and 5 classes"):
        images.images(images.Config(path=str(cifar[0]), size=32, channels=3, classes=5))
    with pytest.raises(UserError, match="scikit-learn's digits: images .* do not fit"):
        images.images(images.Config(size=32, channels=3))
    with pytest.raises(UserError, match="does not exist"):
        images.images(config("nowhere"))


@pytest.mark.parametrize("labels", [np.zeros(20), np.zeros((20, 2), int), np.zeros(9, int)])
def test_an_npz_without_one_integer_label_per_image_is_rejected(tmp_path, labels):
    np.savez(tmp_path / "a.npz", images=np.zeros((len(labels), 4, 4)), labels=labels)
    with pytest.raises(UserError, match="at least ten images with one integer label each"):
        images.images(images.Config(path=str(tmp_path / "a.npz"), size=4))


def test_float_images_of_an_npz_are_scaled_when_read(tmp_path):
    x = np.linspace(0, 1, 320).reshape(20, 4, 4)
    np.savez(tmp_path / "a.npz", images=x, labels=np.arange(20) % 2)
    split = images.images(images.Config(path=str(tmp_path / "a.npz"), size=4))
    assert split.x.dtype == np.float32 and split.x.min() == -1 and split.x_held.max() == 1
    np.testing.assert_array_equal(split.label_held, [0, 1, 0, 1])


@pytest.mark.parametrize(
    "images_, range_",
    [
        (np.full((20, 4, 4), 255.0), "float64 from 255 to 255"),
        (np.full((20, 4, 4), np.nan, np.float32), "float32 from nan to nan"),
        (np.ones((20, 4, 4), np.int64), "int64 from 1 to 1"),
    ],
    ids=["bytes as floats", "NaN", "integers"],
)
def test_images_of_another_range_are_rejected(tmp_path, images_, range_):
    np.savez(tmp_path / "a.npz", images=images_, labels=np.arange(20) % 2)
    with pytest.raises(UserError, match=f"of float from 0 to 1; they are {range_}"):
        images.images(images.Config(path=str(tmp_path / "a.npz"), size=4))


def test_an_npz_of_objects_is_one_line(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.array([None] * 20), labels=np.arange(20) % 2)
    with pytest.raises(UserError, match="a.npz cannot be read as .npz: Object arrays cannot be"):
        images.images(images.Config(path=str(tmp_path / "a.npz"), size=4))


def test_a_class_without_a_training_image_is_refused_by_sources_of_judged_samples(tmp_path):
    labels = np.where(np.arange(20) % 5 == 4, 1, 0)  # every fifth image is held out
    np.savez(tmp_path / "a.npz", images=np.zeros((20, 4, 4)), labels=labels)
    cfg = images.Config(path=str(tmp_path / "a.npz"), size=4, classes=2)
    assert len(images.batch(cfg, 4, 0, 0)["x"]) == 4
    with pytest.raises(UserError, match="a.npz: no training image of class 1; every fifth"):
        images.source(cfg).batch(4, 0, 0)


def test_uint8_images_of_an_npz_must_fit_the_config(tmp_path):
    file = tmp_path / "mine.npz"
    np.savez(file, images=np.full((20, 4, 4), 255, np.uint8), labels=np.arange(20) % 2)
    cfg = images.Config(path=str(file), size=4, classes=2)
    chex.assert_shape(images.batch(cfg, 8, 0, 0)["x"], (8, 4, 4, 1))
    assert images.held_out(cfg)["x"].max() == 1
    with pytest.raises(UserError, match="do not fit"):
        images.images(images.Config(path=str(file), size=8))


def test_digits_are_split_by_class_and_scaled():
    x, label, x_held, label_held = images.images(images.Config())
    assert x.shape[1:] == (8, 8, 1) and len(x) + len(x_held) == 1797
    assert x.min() == -1 and x.max() == 1 and x.dtype == np.float32
    assert np.bincount(label_held).min() >= 34
    assert not {image.tobytes() for image in x} & {image.tobytes() for image in x_held}


def test_the_judge_compares_with_evenly_spaced_images():
    rows = images._spread(np.arange(20_000))
    assert len(rows) == images.JUDGED and rows[0] == 0 and rows[-1] == 19_999
    assert len(images._spread(np.arange(100))) == 100


@pytest.mark.parametrize("steps", [(), (4, 2), (2, 2)])
def test_euler_steps_must_ascend(steps):
    with pytest.raises(ValueError, match="must be one or more ascending numbers"):
        images.Config(euler_steps=steps)
