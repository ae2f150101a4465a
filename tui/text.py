"""Text from outside made safe to show, under the terminal's own name: as core.text does it for the log too."""

from core.text import safe, safe_block

__all__ = ["safe", "safe_block"]
