"""Kinds of values that several keys share, each with the rule that makes it one."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationInfo

from batchrun.jobspec.durations import seconds
from batchrun.jobspec.paths import resolved

LARGEST = 2**63 - 1  # what TOML's integers and int64 columns hold
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")


class Table(BaseModel):
    """A table of the job file: no conversions, no keys beyond those named, no changes afterwards."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


def base_of(info: ValidationInfo) -> Path:
    """Return the folder that relative paths belong to: the job file's, or the cwd for a spec built without one."""
    return info.context if isinstance(info.context, Path) else Path.cwd()


def as_tuple(value: Any) -> Any:
    """Freeze a list; anything else is left for the type check to refuse."""
    return tuple(value) if isinstance(value, list) else value


def each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list that names something twice."""
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"names {', '.join(twice)} more than once")
    return values


def at_least_one(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse an empty list, after its places: pydantic's own bound also counts wrong places as missing."""
    if not values:
        raise ValueError("must not be empty")
    return values


def a_region(value: str) -> str:
    """Refuse what cannot be the name of an AWS Region; which Regions there are, the card knows."""
    if not REGION.fullmatch(value):
        raise ValueError('must be a Region such as "us-east-1"')
    return value


def with_content(value: str) -> str:
    """Refuse white space alone: Anthropic's API answers 400 to it."""
    if not value.strip():
        raise ValueError("must hold more than white space" if value else "must not be empty")
    return value


def a_duration(value: object) -> float:
    """Read a duration [s] that may be zero."""
    return seconds(value)


def a_lasting_duration(value: object) -> float:
    """Read a duration [s] above zero."""
    if (duration_s := seconds(value)) > 0:
        return duration_s
    raise ValueError("must be longer than 0 s")


def a_path(value: object, info: ValidationInfo) -> Path:
    """Read a path; a relative one belongs to the job file's folder."""
    if not isinstance(value, str | Path):
        raise ValueError("must be a string")
    return Path(resolved(os.fspath(value), base_of(info)))


Text = Annotated[str, AfterValidator(with_content)]
Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=LARGEST)]
Region = Annotated[str, AfterValidator(a_region)]
Duration = Annotated[float, PlainValidator(a_duration)]
LastingDuration = Annotated[float, PlainValidator(a_lasting_duration)]
FilePath = Annotated[Path, PlainValidator(a_path)]
Names = Annotated[tuple[Name, ...], AfterValidator(each_once), BeforeValidator(as_tuple)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(as_tuple)]
Regions = Annotated[
    tuple[Region, ...], AfterValidator(at_least_one), AfterValidator(each_once), BeforeValidator(as_tuple)
]
