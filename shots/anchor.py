"""Anchored clips: a clip of an image-to-video model begins with the picture in which the one before it ends."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from .errors import SpecError
from .spec import ImageRef, canonical


@dataclass(frozen=True, eq=False)
class LastPicture:
    """What an anchored clip leaves to the next: its last frame, uint8 [H, W, 3]. key: of the clip that left it."""

    key: str
    picture: np.ndarray

    kind = "LastPicture"
    version = 1

    def to_bytes(self) -> bytes:
        """safetensors; equal pictures of equal clips give equal bytes."""
        about = canonical([self.kind, self.version, self.key])
        return save({"picture": np.ascontiguousarray(self.picture)}, {"longtake": about})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The picture that `to_bytes` wrote.

        Raises:
            SpecError: something else, or damaged.
        """
        try:
            length = int.from_bytes(data[:8], "little")
            kind, version, key = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["longtake"])
            picture = load(data)["picture"]
        except (ValueError, KeyError, TypeError, SafetensorError) as error:
            raise SpecError(f"not a stored last picture, or a torn one ({error}); render its clip again") from None
        if (kind, version) != (cls.kind, cls.version) or picture.ndim != 3 or picture.dtype != np.uint8:
            raise SpecError(f"a {kind} of version {version} cannot be read as {cls.kind} {cls.version}")
        return cls(key, picture)


def read_picture(ref: ImageRef) -> np.ndarray:
    """The picture, uint8 [H, W, 3] in RGB.

    Raises:
        SpecError: it is not there, no longer what was planned, or not a picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        data = Path(ref.path).read_bytes()
        found = "sha256:" + hashlib.sha256(data).hexdigest()
        if found != ref.digest:
            raise SpecError(
                f"{ref.path} is {found}, but the plan was made with {ref.digest}; plan again, or restore it"
            )
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise SpecError(f"the picture {ref.path} cannot be read: {error}; give a PNG or JPEG file") from None
