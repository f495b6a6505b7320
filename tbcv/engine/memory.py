"""Where scratch files lie best: in memory, where nothing waits for a disk and nothing is meant to stay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108  # what is made there gets a random name and is its maker's alone
_ENOUGH_BYTES = 2 * 1024**3


def directory_in_memory() -> Path | None:
    """Return a directory that is kept in memory and has room, if there is one; programs cannot always run there."""
    try:
        roomy = shutil.disk_usage(_MEMORY).free >= _ENOUGH_BYTES
    except OSError:
        return None
    return _MEMORY if roomy and os.access(_MEMORY, os.W_OK | os.X_OK) else None
