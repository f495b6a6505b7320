"""The rights of an ordinary user, for tests of what may not be written."""

from __future__ import annotations

import os
import shutil


def ordinary() -> list[str]:
    """Return the words before a command that take root's right to write everything away from it."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    assert setpriv, "as root these tests need setpriv, of util-linux"
    return [setpriv, "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
