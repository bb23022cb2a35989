"""The demo's items: they live in memory, because they are only there to be guarded."""

from collections import OrderedDict
from itertools import count

from pydantic import BaseModel, ConfigDict, Field

MAX_ITEMS = 1000


class ItemIn(BaseModel):
    """A new item."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100)


class Item(ItemIn):
    """An item and whose it is."""

    id: int
    owner_id: str


class Items:
    """Keeps the latest thousand items of this process."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._items: OrderedDict[int, Item] = OrderedDict()

    def add(self, name: str, *, owner_id: str) -> Item:
        item = Item(id=next(self._ids), name=name, owner_id=owner_id)
        self._items[item.id] = item
        if len(self._items) > MAX_ITEMS:
            self._items.popitem(last=False)
        return item

    def all(self) -> list[Item]:
        return list(self._items.values())

    def get(self, item_id: int) -> Item | None:
        return self._items.get(item_id)

    def remove(self, item_id: int) -> None:
        self._items.pop(item_id, None)
