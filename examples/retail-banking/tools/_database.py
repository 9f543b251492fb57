"""The database: made from seed.sql when there is none. Files that begin with `_` are no tools."""
import os
import sqlite3
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent


def path():
    """Where the database is: BANK_DB, or beside the agent, or in a folder for temporary files where that is read-only."""
    named = os.environ.get("BANK_DB")
    if named:
        return Path(named)
    folder = FOLDER if os.access(FOLDER, os.W_OK) else Path(tempfile.gettempdir())
    return folder / "bank.sqlite"


def connect():
    """A connection. The first one makes the tables; of several at once, one does."""
    connection = sqlite3.connect(path(), timeout=10, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in (FOLDER / "seed.sql").read_text(encoding="utf-8").split(";"):
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return connection


def customer():
    """Whose account it is: the user who is signed in, else the demonstration customer. Never a word of the model's."""
    return os.environ.get("CURRENT_USER_ID") or "demo"
