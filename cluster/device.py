"""How much memory a camera's device has. Loads torch only where there may be an accelerator."""

from __future__ import annotations

import os
from pathlib import Path

DRIVERS = ("/dev/nvidiactl", "/dev/kfd")
"""What the drivers of accelerators that torch calls `cuda` put there."""


def memory_of(device: str) -> int:
    """Bytes of a device (`auto`, `cpu`, `cuda`, `cuda:1` ...), 0 where nobody knows."""
    if device == "cpu" or (device == "auto" and not any(Path(driver).exists() for driver in DRIVERS)):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    import torch

    from shots.memory import device_bytes

    there = torch.cuda.is_available()
    place = torch.device(("cuda" if there else "cpu") if device == "auto" else device)
    if place.type == "cuda" and (place.index or 0) >= (torch.cuda.device_count() if there else 0):
        return 0  # loading a model says that there is no such device
    return device_bytes(place)
