"""Cut a long row of items into portions of bounded size."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def portions(items: Iterable[Item], size: int, *, weight: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Yield `items` in lists whose weights add up to at most `size`; an item that weighs more stands alone."""
    portion: list[Item] = []
    room = size
    for item in items:
        needed = weight(item)
        if portion and needed > room:
            yield portion
            portion, room = [], size
        portion.append(item)
        room -= needed
    if portion:
        yield portion
