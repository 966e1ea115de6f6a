"""The [prices] table: private pricing in place of the card's list prices."""

import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from batchrun.jobspec.values import Table


def a_date(value: object) -> object:
    """Read an ISO date; TOML's own dates arrive as dates."""
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value
    try:
        return datetime.date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be a date such as 2026-11-01") from None


Price = Annotated[float, Field(ge=0)]


class PriceClass(Table):
    """Prices of one class [USD per million tokens]; what is left out is the card's."""

    input: Price | None = Field(default=None, description="uncached input tokens [USD per million]; unset: the card's")
    output: Price | None = Field(default=None, description="output tokens [USD per million]; unset: the card's")
    cache_write_5m: Price | None = Field(
        default=None, description="cache writes kept for 5 minutes [USD per million]; unset: the card's"
    )
    cache_write_1h: Price | None = Field(
        default=None, description="cache writes kept for 1 hour [USD per million]; unset: the card's"
    )
    cache_read: Price | None = Field(default=None, description="cache reads [USD per million]; unset: the card's")


class Prices(Table):
    """Private pricing. The class for global inference IDs is the attribute `global_`, `global` being a Python word."""

    date: Annotated[datetime.date, BeforeValidator(a_date)] = Field(
        description="day on which these prices were agreed or read", examples=["date = 2026-11-01"]
    )
    global_: PriceClass = Field(default=PriceClass(), alias="global", description="prices of global inference IDs")
    geo: PriceClass = Field(default=PriceClass(), description="prices of us, eu and au inference IDs")
