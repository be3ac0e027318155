# SPDX-License-Identifier: GPL-3.0-or-later
"""Look for text in the pixels of an image, by the program tesseract.

What counts as text is a word of at least three letters or digits of which tesseract is sure to
70 %. Single letters (markers of the side), short units and what it reads into tissue do not count:
in images without text it is sure to about 60 % at most. Where the tissue is left out, 45 % do for a
word of five, since there is nothing else that looks like one. What it says is never kept.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from itertools import groupby
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut

from orthanc_deid.errors import ProfileError, Quarantine, Spot
from orthanc_deid.pixel_frames import Frame, PixelForm
from orthanc_deid.pixels import iter_frames
from orthanc_deid.rectangles import Rectangle

TEXT_IN_PIXELS: Final = "text-in-pixels"

_PROGRAM: Final = "tesseract"
_LANGUAGE: Final = "eng"
_SECONDS: Final = 120  # for one frame; a slide's tile takes about one

_LEAST_CHARACTERS: Final = 3
_LEAST_CONFIDENCE: Final = 70.0
_LONG_WORD: Final = 5
_LEAST_CONFIDENCE_IN_LONG: Final = 45.0
# Tesseract reads letters of 20 to 40 pixels best; burned-in ones have 8 to 20.
_ENLARGED_BELOW: Final = 2000

_INK: Final = 0.3  # of the range of grey: text is written with the extreme, or close to it
_GREYISH: Final = 32  # colours of a grey image that was compressed differ by no more
_LUMINANCE: Final = np.array((0.299, 0.587, 0.114), np.float32)

_Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Text:
    """Where a word was found.

    Attributes:
        frame: the number of the frame, from 1 on.
        box: where in it.
    """

    frame: int
    box: Rectangle


class TextReader:
    """Finds text in images.

    Raises:
        ProfileError: tesseract or its English data is not installed.
    """

    def __init__(self) -> None:
        program = shutil.which(_PROGRAM)
        if program is None:
            raise ProfileError(
                [
                    "the profile asks for a second look at the pixels, but tesseract is not "
                    "installed; install the package tesseract-ocr or turn the look off"
                ]
            )
        self._program = program
        known = self._run(["--list-langs"], b"").split()
        if _LANGUAGE not in known:
            raise ProfileError(
                [
                    "tesseract has no data for English; "
                    "install the package tesseract-ocr-eng or turn the second look off"
                ]
            )

    def find(self, data: bytes) -> Iterator[Text]:
        """Yield the text of every frame of a DICOM file; frames that repeat are read once.

        Raises:
            Quarantine: (codes `pixels`, `ocr`) the image cannot be decoded or read.
        """
        dataset = dcmread(BytesIO(data), stop_before_pixels=True)
        seen: set[bytes] = set()
        for number, (frame, form) in enumerate(iter_frames(data), 1):
            digest = blake2b(frame.tobytes()).digest()
            if digest not in seen:
                seen.add(digest)
                yield from (Text(number, box) for box in self._read(frame, form, dataset))

    def check(self, data: bytes) -> None:
        """Make sure that no text is in the pixels of a DICOM file.

        Raises:
            Quarantine: (code `text-in-pixels`) there is.
        """
        for number, texts in groupby(self.find(data), lambda text: text.frame):
            boxes = [text.box for text in texts]
            raise Quarantine(
                TEXT_IN_PIXELS,
                f"text was found in the pixels of frame {number} at {boxes[0]}; "
                "look at the image and add a pixel rule for its device",
                {TEXT_IN_PIXELS},
            ).at(Spot(frame=number, box=box) for box in boxes)

    def _read(self, frame: Frame, form: PixelForm, dataset: Dataset) -> Iterator[Rectangle]:
        found: list[Rectangle] = []
        for box in self._boxes(frame, form, dataset):
            if not any(box.overlaps(other) for other in found):
                found.append(box)
                yield box

    def _boxes(self, frame: Frame, form: PixelForm, dataset: Dataset) -> Iterator[Rectangle]:
        for dark, bright in _views(frame, form, dataset):
            # Text is found dark on bright ground: once in each polarity, on one page.
            scale = _scale(dark)
            gap = np.full((8 * scale, dark.shape[1] * scale), 255, np.uint8)
            page = np.vstack((_enlarge(dark, scale), gap, _enlarge(bright, scale)))
            second = dark.shape[0] * scale + len(gap)
            for left, top, width, height in self._words(page):
                start = top - second if top >= second else top
                yield Rectangle(left // scale, start // scale, width // scale, height // scale)
            # Tissue can keep tesseract from seeing a text in it: once more without the tissue.
            for ink in _inks(dark, bright):
                for box in self._words(_enlarge(ink, scale), _LEAST_CONFIDENCE_IN_LONG):
                    yield Rectangle(*(number // scale for number in box))

    def _words(
        self, page: _Grey, in_long: float = _LEAST_CONFIDENCE
    ) -> Iterator[tuple[int, int, int, int]]:
        rows, columns = page.shape
        image = b"P5 %d %d 255\n" % (columns, rows) + page.tobytes()
        table = self._run(["stdin", "stdout", "-l", _LANGUAGE, "--psm", "11", "tsv"], image)
        for line in table.splitlines()[1:]:
            cells = line.split("\t")
            if len(cells) == 12 and _is_text(cells[11], float(cells[10]), in_long):
                left, top, width, height = map(int, cells[6:10])
                yield left, top, width, height

    def _run(self, arguments: list[str], image: bytes) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - a list, and the program found at start
                [self._program, *arguments],
                input=image,
                capture_output=True,
                check=True,
                timeout=_SECONDS,
                # One thread is faster on images of this size, and workers run side by side.
                env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise Quarantine(
                "ocr", "tesseract could not read the image; look at the image"
            ) from error
        return done.stdout.decode("utf-8", "replace")


def _is_text(word: str, confidence: float, in_long: float) -> bool:
    characters = sum(character.isalnum() for character in word)
    least = in_long if characters >= _LONG_WORD else _LEAST_CONFIDENCE
    return characters >= _LEAST_CHARACTERS and confidence >= least


def _inks(*views: _Grey) -> Iterator[_Grey]:
    """Yield of each view what is as dark as burned-in text; nothing where that is most of it."""
    for grey in views:
        low, high = int(grey.min()), int(grey.max())
        ink = grey <= low + _INK * (high - low)
        if low < high and ink.mean() < 0.5:
            yield np.where(ink, 0, 255).astype(np.uint8)


def _scale(grey: _Grey) -> int:
    return max(1, min(3, _ENLARGED_BELOW // int(max(grey.shape))))


def _enlarge(grey: _Grey, scale: int) -> _Grey:
    """Enlarge with linear interpolation, which keeps the strokes of small letters whole."""
    if scale == 1:
        return grey
    for axis in (0, 1):
        length = grey.shape[axis]
        at = (np.arange(length * scale) + 0.5) / scale - 0.5
        low = np.clip(np.floor(at).astype(int), 0, length - 1)
        high = np.minimum(low + 1, length - 1)
        part = np.clip(at - low, 0, 1).astype(np.float32)
        part = part[:, None] if axis == 0 else part[None, :]
        first, second = np.take(grey, low, axis), np.take(grey, high, axis)
        grey = (first + part * (second.astype(np.float32) - first)).astype(np.uint8)
    return grey


def _views(frame: Frame, form: PixelForm, dataset: Dataset) -> Iterator[tuple[_Grey, _Grey]]:
    """Yield pairs of grey images in which bright and dark text is dark.

    Of colours, text that is bright in any of them is bright, and the other way round.
    """
    if form.samples > 1 or form.photometric == "PALETTE COLOR":
        colours = _rgb(frame, form) if form.samples > 1 else _palette(frame, dataset)
        bright, dark = colours.max(axis=2), colours.min(axis=2)
        yield 255 - bright, dark
        if (bright - dark).max() > _GREYISH:
            # Yellow on blue is as bright as its ground in the brightest colour.
            luminance = (colours @ _LUMINANCE).astype(np.uint8)
            yield 255 - luminance, luminance
        return
    for low, high in _windows(frame, dataset):
        grey = _to_bytes(frame, low, high)
        yield 255 - grey, grey


def _to_bytes(values: npt.NDArray[Any], low: float, high: float) -> _Grey:
    scaled = (values.astype(np.float32) - low) * (255.0 / max(high - low, 1e-6))
    grey: _Grey = np.clip(scaled, 0, 255).astype(np.uint8)
    return grey


def _windows(frame: Frame, dataset: Dataset) -> Iterator[tuple[float, float]]:
    """Yield the full range of values, and the window that the image names, in stored values."""
    low, high = float(frame.min()), float(frame.max())
    yield low, high
    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    slope = _first(dataset.get("RescaleSlope")) or 1.0
    intercept = _first(dataset.get("RescaleIntercept")) or 0.0
    if centre is None or not width:
        return
    edges = sorted((centre + side * width / 2 - intercept) / slope for side in (-1, 1))
    if edges[1] - edges[0] < 0.9 * (high - low):
        yield edges[0], edges[1]


def _first(value: object) -> float | None:
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return None if value is None or value == "" else float(str(value))


def _rgb(frame: Frame, form: PixelForm) -> npt.NDArray[np.uint8]:
    scale = 255.0 / ((1 << form.bits_stored) - 1)
    samples = frame.astype(np.float32) * scale
    if form.photometric.startswith("YBR"):
        luminance, blue, red = np.moveaxis(samples, 2, 0)
        red, blue = red - 128, blue - 128
        # PS3.3 section C.7.6.3.1.2.
        samples = np.stack(
            (
                luminance + 1.402 * red,
                luminance - 0.344136 * blue - 0.714136 * red,
                luminance + 1.772 * blue,
            ),
            axis=2,
        )
    eight: npt.NDArray[np.uint8] = np.clip(samples, 0, 255).astype(np.uint8)
    return eight


def _palette(frame: Frame, dataset: Dataset) -> npt.NDArray[np.uint8]:
    coloured = apply_color_lut(frame, dataset)
    eight: npt.NDArray[np.uint8] = (coloured >> (8 * coloured.dtype.itemsize - 8)).astype(np.uint8)
    return eight
