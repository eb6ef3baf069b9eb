"""The list behind every list page: it takes the parameters that its own filters take, and no others.

Django lets the address of a list look into every field of the model, and through relations into others, with every
lookup there is: a regular expression that takes minutes, or a guess at a secret, letter by letter.
"""

from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest, QueryDict
from unfold.views import ChangeList

BAD_VALUE = "The address held a filter with a value that this list does not know. The filters were taken away."
UNKNOWN = "This list has no filter named {}. It was taken away."
# A page number beyond it is no number of a page; databases count no further.
MAX_PAGE = 10_000_000


class BadAddress(Exception):
    """The address of a list asks for what the list does not have. `query` is what may stay of it."""

    def __init__(self, message: str, query: str = "") -> None:
        super().__init__(message)
        self.query = query


class ConsoleChangeList(ChangeList):
    params: dict[str, Any]

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        if len(request.GET.get("p", "")) > len(str(MAX_PAGE)):
            raise BadAddress("There is no such page. This is the first.", _without(request.GET, {"p"}))
        try:
            super().__init__(request, *args, **kwargs)
        except IncorrectLookupParameters:
            raise BadAddress(BAD_VALUE) from None

    def get_filters(self, request: HttpRequest) -> Any:
        """Build the filters from their parameters. Raises `BadAddress` for parameters that no filter has taken."""
        found = super().get_filters(request)
        if unknown := set(found[2]):
            names = ", ".join(sorted(name[:60] for name in unknown))
            raise BadAddress(UNKNOWN.format(names), _without(request.GET, unknown))
        return found

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        """Order by columns that offer it only: the address could name any of them."""
        sortable = self.sortable_by
        chosen = self.params.get("o", "")
        kept = [part for part in chosen.split(".") if self._is_sortable(part, sortable)]
        self.params = {**self.params, "o": ".".join(kept)} if kept else _less(self.params, "o")
        return list(super().get_ordering(request, queryset))

    def _is_sortable(self, part: str, sortable: Any) -> bool:
        number = part.removeprefix("-")
        if not (number.isascii() and number.isdigit() and len(number) < 4) or int(number) >= len(self.list_display):
            return False
        return sortable is None or self.list_display[int(number)] in sortable


def _without(params: QueryDict, names: set[str]) -> str:
    kept = params.copy()
    for name in names:
        kept.pop(name, None)
    return kept.urlencode()


def _less(params: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in params.items() if key != name}
