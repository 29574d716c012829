"""Trade ids that were seen, exactly and in little memory."""

from __future__ import annotations

from bisect import bisect_right


class TradeIds:
    """Integer ids of one symbol's trades, kept as ranges: a venue counts them without holes, so there are few."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self) -> None:
        # Inclusive bounds of disjoint ranges that do not touch, ascending.
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def add(self, trade_id: int) -> bool:
        """Add an id; return False when it was there already."""
        firsts, lasts = self._firsts, self._lasts
        if lasts and trade_id == lasts[-1] + 1:
            lasts[-1] = trade_id
            return True
        index = bisect_right(firsts, trade_id)
        if index and trade_id <= lasts[index - 1]:
            return False
        touches_left = index > 0 and lasts[index - 1] == trade_id - 1
        touches_right = index < len(firsts) and firsts[index] == trade_id + 1
        if touches_left and touches_right:
            lasts[index - 1] = lasts.pop(index)
            del firsts[index]
        elif touches_left:
            lasts[index - 1] = trade_id
        elif touches_right:
            firsts[index] = trade_id
        else:
            firsts.insert(index, trade_id)
            lasts.insert(index, trade_id)
        return True
