"""A process as a container with a read-only file system has it: writing is allowed in the named folders alone.

By Landlock, which needs no privilege. Where the kernel has none, only the comparison of the program's folder before and
after remains.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
PATH_BENEATH, VERSION = 1, 1
PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG = 38, 1
# Writing, removing, making of every kind, moving (from ABI 2), cutting short (from ABI 3); see linux/landlock.h.
ALWAYS, MOVING, CUTTING = (1 << 1) | sum(1 << bit for bit in range(4, 13)), 1 << 13, 1 << 14

_libc = ctypes.CDLL(None, use_errno=True)


def landlock() -> int:
    """The kernel's version of it; below 1: none."""
    return int(_libc.syscall(CREATE_RULESET, None, 0, VERSION))


def read_only_but(writable: Sequence[Path]) -> Callable[[], None]:
    """For `preexec_fn`: nothing new by setuid, dead with its parent, and no writing but below `writable` and /dev."""
    version = landlock()
    handled = ALWAYS | (MOVING if version >= 2 else 0) | (CUTTING if version >= 3 else 0)
    folders = [*map(str, writable), "/dev"]

    def confine() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)
        _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if version < 1:
            return
        asked = struct.pack("Q", handled)
        rules = _libc.syscall(CREATE_RULESET, asked, len(asked), 0)
        for folder in folders:
            opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
            _libc.syscall(ADD_RULE, rules, PATH_BENEATH, struct.pack("=Qi", handled, opened), 0)
            os.close(opened)
        if _libc.syscall(RESTRICT_SELF, rules, 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock_restrict_self")
        os.close(rules)

    return confine
