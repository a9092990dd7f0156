import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dal.errors import DataError
from dal.labeling import thumbnails
from dal.labeling.thumbnails import PICTURE, THUMBNAIL, Size

MODES = ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "RGBX"]
MODES += ["RGBa", "La", "I;16", "I;16L", "I;16B", "I;16N"]
ORIENTATION, ROTATE_90 = 0x0112, 6


def decoded(jpeg: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB"), np.int16)


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def stored(image: Image.Image, form: str, **kwargs: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **kwargs)
    return stream.getvalue()


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_a_jpeg(mode: str) -> None:
    image = Image.new(mode, (50, 30))
    before = image.copy()
    assert decoded(thumbnails.jpeg(image)).shape == (30, 50, 3)
    assert image == before


@pytest.mark.parametrize("size", [THUMBNAIL, PICTURE, Size(64, 800), Size(300, 1)])
def test_what_compresses_badly_fits(size: Size) -> None:
    jpeg = thumbnails.jpeg(noise(1500, 1000), size)
    height, width, _ = decoded(jpeg).shape
    if size.num_bytes == 1:  # impossible: as small as an image can be
        assert (height, width) == (1, 1)
    else:
        assert len(jpeg) <= size.num_bytes
        assert max(width, height) <= size.side
        assert width / height == pytest.approx(1.5, rel=0.05)
    assert jpeg == thumbnails.jpeg(noise(1500, 1000), size)


def test_small_images_keep_their_size() -> None:
    assert decoded(thumbnails.jpeg(noise(32, 20))).shape == (20, 32, 3)


@pytest.mark.parametrize("shape", [(5000, 1), (1, 5000), (1, 1)])
def test_thin_images_keep_a_pixel(shape: tuple[int, int]) -> None:
    height, width, _ = decoded(thumbnails.jpeg(noise(*shape))).shape
    assert (width, height) == tuple(min(side, THUMBNAIL.side) for side in shape)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF"])
def test_transparent_becomes_white(form: str) -> None:
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 20, 40))
    pixels = decoded(thumbnails.read({"bytes": stored(image, form), "path": None}))
    np.testing.assert_allclose(pixels[20, 4], 255, atol=12)
    np.testing.assert_allclose(pixels[20, 35], (255, 0, 0), atol=12)


@pytest.mark.parametrize("offset", [0, 40_000])
def test_sixteen_bits_are_stretched(offset: int) -> None:
    ramp = np.tile(offset + np.arange(64, dtype=np.uint16), (64, 1))
    pixels = decoded(thumbnails.jpeg(Image.fromarray(ramp)))
    np.testing.assert_allclose(pixels[32, [0, 63], 0], (0, 255), atol=8)


def test_what_is_no_number_does_not_matter() -> None:
    ramp = np.tile(np.arange(64, dtype=np.float32), (64, 1))
    ramp[:8], ramp[8:16], ramp[16:24] = np.nan, np.inf, -np.inf
    pixels = decoded(thumbnails.jpeg(Image.fromarray(ramp)))
    np.testing.assert_allclose(pixels[40, [0, 63], 0], (0, 255), atol=8)
    np.testing.assert_allclose(pixels[[3, 12, 20], 32, 0], (0, 255, 0), atol=8)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_images_are_upright(form: str) -> None:
    image = Image.new("RGB", (900, 600), "black")
    image.paste("white", (0, 0, 450, 600))  # the left half: above, once it is turned
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATE_90
    pixels = decoded(thumbnails.read({"bytes": stored(image, form, exif=exif)}))
    assert pixels.shape == (320, 213, 3)
    assert pixels[40].min() > 240
    assert pixels[280].max() < 15


def test_nothing_is_told_of_the_original() -> None:
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    comment = b"secret " * 9000
    original = stored(noise(400, 300), "JPEG", exif=exif, comment=comment, dpi=(71, 71))
    jpeg = thumbnails.read({"bytes": original})
    assert len(jpeg) <= THUMBNAIL.num_bytes
    assert b"secret" not in jpeg
    assert b"camera" not in jpeg


def test_animation_shows_its_first_frame() -> None:
    frames = [Image.new("RGB", (30, 30), color) for color in ("blue", "red")]
    animation = stored(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(
        decoded(thumbnails.read({"bytes": animation}))[15, 15], (0, 0, 255), atol=8
    )


def test_files_are_read_and_stay(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(stored(noise(3000, 2000), "JPEG"))
    before = file.read_bytes()
    jpeg = thumbnails.read({"bytes": None, "path": str(file)})
    assert decoded(jpeg).shape == (213, 320, 3)
    assert file.read_bytes() == before


def test_what_is_no_image_is_an_error() -> None:
    with pytest.raises(DataError, match="the row is empty"):
        thumbnails.read({"bytes": None, "path": None})
    with pytest.raises(OSError, match="cannot identify"):
        thumbnails.read({"bytes": b"no image"})
