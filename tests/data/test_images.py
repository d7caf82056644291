import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.data import images

FILES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]


@pytest.fixture
def cifar(tmp_path):
    """A folder of six files with two images each, and their records."""
    records = (
        np.random.default_rng(0).integers(0, 256, (6, 2, images.CIFAR10_RECORD)).astype(np.uint8)
    )
    records[:, :, 0] = np.arange(12).reshape(6, 2) % 10
    for name, pair in zip(FILES, records, strict=True):
        pair.tofile(tmp_path / name)
    return tmp_path, records


def config(path):
    return images.Config(path=str(path), size=32, channels=3)


def test_records_of_cifar10_are_a_label_and_three_planes(cifar):
    folder, records = cifar
    x, label, x_held, label_held = images.images(config(folder))
    assert x.shape == (10, 32, 32, 3) and x_held.shape == (2, 32, 32, 3) and x.dtype == np.uint8
    np.testing.assert_array_equal(label, records[:5, :, 0].ravel())
    np.testing.assert_array_equal(label_held, records[5, :, 0])
    for colour in range(3):
        plane = records[3, 1, 1 + 1024 * colour :][:1024].reshape(32, 32)
        np.testing.assert_array_equal(x[7, :, :, colour], plane)


def test_batches_are_scaled_and_every_image_comes_once_an_epoch(cifar):
    cfg = config(cifar[0])
    x, label, x_held, _ = images.images(cfg)
    batches = [images.batch(cfg, 5, 0, step) for step in range(2)]
    assert sorted(np.concatenate([b["label"] for b in batches])) == sorted(label)
    assert batches[0]["x"].dtype == np.float32 and batches[0]["label"].dtype == np.int32
    row = int(np.argmax((images.scaled(x) == batches[0]["x"][0]).all((1, 2, 3))))
    np.testing.assert_allclose(batches[0]["x"][0], x[row] / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(images.held_out(cfg)["x"], x_held / 127.5 - 1, atol=1e-6)


def test_the_folder_above_is_found_too(cifar, tmp_path_factory):
    above = tmp_path_factory.mktemp("above")
    (above / images.CIFAR10).symlink_to(cifar[0])
    np.testing.assert_array_equal(images.cifar10(above)[0], images.cifar10(cifar[0])[0])


def test_a_missing_file_is_named(cifar):
    (cifar[0] / "data_batch_4.bin").unlink()
    with pytest.raises(
        UserError, match=r"data_batch_4.bin cannot be read \(No such file.*needs data_batch_1.bin"
    ):
        images.images(config(cifar[0]))


@pytest.mark.parametrize("size", [0, images.CIFAR10_RECORD - 1])
def test_a_file_of_the_wrong_size_is_named(cifar, size):
    (cifar[0] / "test_batch.bin").write_bytes(bytes(size))
    with pytest.raises(
        UserError, match=f"test_batch.bin has {size} bytes; CIFAR-10 needs a multiple of 3073"
    ):
        images.images(config(cifar[0]))


def test_images_that_do_not_fit_the_config_are_refused(cifar):
    with pytest.raises(
        UserError, match=r"images \(12, 32, 32, 3\), labels 0 to 9, do not fit \(8, 8, 1\)"
    ):
        images.images(images.Config(path=str(cifar[0])))
    with pytest.raises(UserError, match="labels 0 to 9, do not fit .* and 5 classes"):
        images.images(images.Config(path=str(cifar[0]), size=32, channels=3, classes=5))
    with pytest.raises(UserError, match="scikit-learn's digits: images .* do not fit"):
        images.images(images.Config(size=32, channels=3))
    with pytest.raises(UserError, match="does not exist"):
        images.images(config("nowhere"))


@pytest.mark.parametrize("labels", [np.zeros(20), np.zeros((20, 2), int), np.zeros(9, int)])
def test_an_npz_without_one_integer_label_each_is_refused(tmp_path, labels):
    np.savez(tmp_path / "a.npz", images=np.zeros((len(labels), 4, 4)), labels=labels)
    with pytest.raises(UserError, match="ten images or more with one integer label each"):
        images.images(images.Config(path=str(tmp_path / "a.npz"), size=4))


def test_floats_of_an_npz_are_scaled_when_they_are_read(tmp_path):
    np.savez(
        tmp_path / "a.npz",
        images=np.linspace(0, 1, 320).reshape(20, 4, 4),
        labels=np.arange(20) % 2,
    )
    x, _, x_held, label_held = images.images(images.Config(path=str(tmp_path / "a.npz"), size=4))
    assert (
        x.dtype == np.float32
        and x.min() == -1
        and x_held.max() == 1
        and list(label_held) == [0, 1, 0, 1]
    )


def test_the_judge_compares_evenly_spaced_images():
    rows = images._spread(np.arange(20_000))
    assert len(rows) == images.JUDGED and rows[0] == 0 and rows[-1] == 19_999
    assert len(images._spread(np.arange(100))) == 100
