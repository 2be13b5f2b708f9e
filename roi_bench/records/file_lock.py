"""A lock on a file that the operating system releases when its process dies, however it dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

from roi_bench.errors import RecordError

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> None:
        file.seek(1 << 30)  # far behind the pid, which stays readable for the others
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """An exclusive lock held through the file ``path``, which names the holder's process id.

    The file stays when the lock is released, empty: removing it would let two processes lock two files of one name.

    Attributes:
        was_abandoned: The last holder died without releasing it.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what
        self.was_abandoned = False
        self._file: IO[bytes] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            RecordError: Another process holds it.
            OSError: The lock file cannot be opened or written.
        """
        file = self.path.open("a+b", buffering=0)
        try:
            _try_lock(file)
        except OSError as error:
            file.seek(0)
            holder = file.read(32).decode("ascii", "replace").strip() or "unknown"
            file.close()
            raise RecordError(
                f"{self.what} is in use by process {holder}; wait until it ends, stop it, or give another output folder"
            ) from error
        self.was_abandoned = file.seek(0, os.SEEK_END) > 0
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode("ascii"))
        self._file = file

    def release(self) -> None:
        """Give the lock back; does nothing if it is not held."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None
