"""What the exit code of a command says; 0 is done."""

from __future__ import annotations

from typing import Final

#: A gate or an objective failed.
FAILED: Final = 1
#: Bad input or usage, or a machine that has not what it takes: memory, room, permissions, open files.
BAD_INPUT: Final = 2
#: It cannot be told.
INCONCLUSIVE: Final = 3
#: A fault of this program.
INTERNAL_FAULT: Final = 70
#: By the user.
INTERRUPTED: Final = 130
