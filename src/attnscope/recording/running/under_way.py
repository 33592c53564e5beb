"""A call of the model that is under way: what is kept of it, and which layers have run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from attnscope.records import Call, LayerId, Row
from attnscope.records.qkv import Record


@dataclass
class UnderWay:
    """A call of the model that is under way.

    Attributes:
        call: The call.
        kept_rows: Numbers of the rows that are kept.
        qk: What is kept, None if the step was not chosen.
        whole: All rows, for reductions.
        ran: Layers that have run.
    """

    call: Call
    kept_rows: list[int]
    qk: dict[LayerId, Record] | None
    whole: dict[LayerId, Record] = field(default_factory=dict)
    ran: set[LayerId] = field(default_factory=set)

    @property
    def kept_call(self) -> Call:
        """The call with the rows that are kept."""
        return replace(self.call, rows=tuple(self.call.rows[row] for row in self.kept_rows))

    def rows_of(self, record: Record) -> list[Row]:
        """The rows that are kept of a record; if none are, those that it has.

        Args:
            record: What a layer computed in this call.
        """
        computed = record.rows or range(len(self.call.rows))
        numbers = [row for row in self.kept_rows if row in computed] or computed
        return [self.call.rows[row] for row in numbers]
