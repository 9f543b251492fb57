"""One parameter of each kind of type, so that the shim's schema can be compared with the real one."""
import datetime
import decimal
import enum
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Dict, FrozenSet, List, Literal, Optional, Sequence, Set, Tuple, Union

try:
    from typing_extensions import TypedDict
except ImportError:
    from typing import TypedDict

from strands import tool


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """How loud."""
    LOW = 1
    HIGH = 2


class Point(TypedDict):
    x: int
    y_value: float


class Partial(TypedDict, total=False):
    """All optional."""
    a: str


@dataclass
class Box:
    width: int
    label: str = "none"


@tool
def plain(a, b: str, c: int, d: float, e: bool, f: Any, g: object = None, h: bytes = b"") -> str:
    """Plain types."""
    return f"{a} {b} {c} {d} {e} {f}"


@tool
def containers(a: list, b: List[str], c: Dict[str, int], d: dict, e: Set[int], f: Tuple[int, str], g: Tuple[int, ...],
               h: List[Dict[str, Any]], i: Sequence[float], j: FrozenSet[str], k: tuple, m: Dict[str, List[int]],
               n: List[Optional[int]] = []) -> str:
    """Containers.

    Parameters:
        a: a list
        b: strings
        zzz: not a parameter
    """
    return repr([e, f, g, j])


@tool
def choices(a: Literal["x", "y"], b: Literal[1, 2], c: Literal["only"], d: Literal["x", 1], e: Union[int, str],
            f: Optional[int], g: Optional[int] = None, h: Optional[List[str]] = None, i: Union[int, str, None] = None,
            j: Color = Color.RED, k: Optional[Color] = None, m: Level = Level.LOW, n: "int | None" = 3,
            o: Color = Color.BLUE) -> str:
    """Choices.

    Args:
        a: first choice
        e: a number: or a text
    """
    return f"{a} {b} {j!r} {k!r} {m!r} {g} {h}"


@tool
def special(a: datetime.datetime, b: datetime.date, c: uuid.UUID, d: Path, e: datetime.time,
            f: datetime.timedelta = datetime.timedelta(0), g: decimal.Decimal = decimal.Decimal(1),
            h: datetime.timedelta = datetime.timedelta(days=2, hours=3, seconds=4)) -> str:
    """:param a: when it is
    :param b: which day
    """
    return f"{a.year} {b.month} {c.int} {d.name} {e.hour}"


@tool
def records(point: Point, box: Box, many: List[Point], partial: Partial, maybe: Optional[Point] = None) -> str:
    """Records."""
    return f"{point} {many}"


@tool
def annotated(a: Annotated[str, "said here"], b: Annotated[int, "also here"] = 2, *, c: str = "x") -> str:
    """Annotated.

    Args:
        a: not said here
        c (str, optional): after the star

    Raises:
        ValueError: never

    Example:
        >>> annotated("a")
    """
    return f"{a} {b} {c}"


@tool
def nothing() -> str:
    return "nothing"
