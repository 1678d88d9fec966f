"""Frames of a recorded video, written once into the cache as pictures."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from backend.captures.arrays import library
from backend.captures.scratch import Scratch
from backend.errors import UserError

MAX_FRAMES = 200_000
MAX_SIDE = 16_384
QUALITY = 95


def frames(path: Path, scratch: Scratch) -> list[Path]:
    """The pictures of a video in the order of their presentation, all of them.

    An edit list may hide the first frame (a recording whose first time stamp is negative); it is ignored, because
    depth and poses are counted by recorded frames.

    Raises:
        UserError: PyAV is missing, or the file is no video that it can decode.
    """
    av = library("av", "av", "videos")

    def fill(folder: Path) -> None:
        try:
            with av.open(str(path), options={"ignore_editlist": "1"}) as container:
                if not container.streams.video or container.streams.video[0].codec_context is None:
                    raise UserError(
                        "bad_video", f"The file {path.name} has no video that can be decoded; record the capture again."
                    )
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                expected = stream.frames or 0
                if max(stream.width or 0, stream.height or 0) > MAX_SIDE or expected > MAX_FRAMES:
                    raise UserError("bad_video", f"The video {path.name} claims an absurd size, so it was left alone.")
                for index, frame in enumerate(container.decode(stream)):
                    if index >= MAX_FRAMES:
                        raise UserError("bad_video", f"The video {path.name} is longer than any capture.")
                    scratch.progress(min(0.99, index / max(expected, index + 1)), f"Reading {path.name}")
                    picture: Image.Image = frame.to_image()
                    picture.save(folder / f"{index:06d}.jpg", quality=QUALITY, subsampling=0)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            sentence = f"The video {path.name} is damaged or of a kind that cannot be decoded; record or copy it again."
            raise UserError("bad_video", sentence, repr(error)) from error

    return sorted(scratch.folder(path, "video", fill).glob("*.jpg"))
