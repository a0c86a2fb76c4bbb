"""Under which conditions a measurement was made; the head of every result that names a device."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from importlib.metadata import version


def conditions(device: str, *packages: str) -> dict[str, object]:
    """Date, device and versions as a result file has them. `device` is torch's word for it."""
    import torch

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "versions": {
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            **{name: version(name) for name in packages},
        },
    }
