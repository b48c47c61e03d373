"""What a disk or a database that fails is to a caller: something to put right, and no fault of ours."""

from __future__ import annotations

import errno
import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from w2s.errors import FailedPrecondition, ResourceExhausted, Unavailable, W2SError


def disk_outage(error: BaseException) -> W2SError | None:
    """The error to answer with where a disk failed; None for any other failure.

    ResourceExhausted for a full one, FailedPrecondition for one that is read-only, and Unavailable for a broken one.
    """
    if not isinstance(error, OSError):
        return None
    place = error.filename or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceExhausted(f"no space left on the device while writing {place}")
    if error.errno == errno.EROFS:
        return FailedPrecondition(f"the disk is read-only: make it writable for {place}")
    if error.errno == errno.EIO:
        return Unavailable(f"the disk failed at {place}")
    return None


def database_outage(error: DBAPIError) -> W2SError | None:
    """As `disk_outage`, for a database; one that is locked or away is Unavailable."""
    # Of an extended code of SQLite's, the lowest byte is the plain one.
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return ResourceExhausted("no space left on the device while writing the database")
    if code == sqlite3.SQLITE_READONLY:
        return FailedPrecondition("the disk is read-only: make it writable for the database")
    away = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    return Unavailable(f"the database cannot be used now: {error.orig}") if away else None
