"""What a plan takes away from those whose data it is: tables, columns, rows and values."""

from __future__ import annotations

from tbcv.migrate.losses.find import find_losses
from tbcv.migrate.losses.model import How, Loss, Losses

__all__ = ["How", "Loss", "Losses", "find_losses"]
