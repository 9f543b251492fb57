"""The database: a copy of the bundled one, made when there is none. Files that begin with `_` are no tools."""
import os
import sqlite3
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent
BUNDLED = FOLDER / "accounts.sqlite.seed"


def path():
    """Where the database is: BANK_DB, or beside the agent, or in a folder for temporary files where that is read-only."""
    named = os.environ.get("BANK_DB")
    if named:
        return Path(named)
    folder = FOLDER if os.access(FOLDER, os.W_OK) else Path(tempfile.gettempdir())
    return folder / "bank.sqlite"


def connect():
    """A connection. Of several that find no database, one makes it, and whole."""
    place = path()
    if not place.exists():
        with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as copy:
            copy.write(BUNDLED.read_bytes())
        try:
            os.link(copy.name, place)
        except FileExistsError:
            pass  # Another was first.
        finally:
            os.unlink(copy.name)
    return sqlite3.connect(place, timeout=10, isolation_level=None)


def customer():
    """Whose account it is: the user who is signed in, else the demonstration customer. Never a word of the model's."""
    return os.environ.get("CURRENT_USER_ID") or "demo"
