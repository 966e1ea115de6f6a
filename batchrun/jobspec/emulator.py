"""The emulator of `batchrun emulate`: an [emulator] table from a file, with the command line's options over it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from batchrun.bedrock.card import Card
from batchrun.emulator.config import EmulatorSpec
from batchrun.errors import JobError
from batchrun.jobspec.keys import keys_of
from batchrun.jobspec.load import read_toml
from batchrun.jobspec.refusal import problems_of
from batchrun.jobspec.values import Table


class _File(Table):
    emulator: EmulatorSpec


def emulator_spec(config: Path | None, options: Mapping[str, Any], faults: Sequence[str]) -> EmulatorSpec:
    """Return the emulator that a file and the options (which win) describe; `faults` are KIND=SHARE.

    Raises JobError with all problems, a line each.
    """
    table = _table(config) if config is not None else {}
    table |= options
    if faults:
        table["faults"] = {**table.get("faults", {}), **dict(_fault(one) for one in faults)}
    try:
        return _File.model_validate({"emulator": table}).emulator
    except ValidationError as error:
        source = str(config or "emulate")
        problems = problems_of(error, {"emulator": table}, list(keys_of(_File)))
        raise JobError("\n".join(problem.line(source) for problem in problems)) from error


def check_emulator(spec: EmulatorSpec, card: Card) -> None:
    """Raise JobError if an emulator's pools, tenants, outages or profiles are not on the card."""
    try:
        spec.check_pools(card)
    except ValueError as error:
        raise JobError(str(error)) from error


def _table(config: Path) -> dict[str, Any]:
    table = read_toml(config).get("emulator")
    if not isinstance(table, dict):
        raise JobError(f"{config}: has no [emulator] table")
    return dict(table)


def _fault(written: str) -> tuple[str, float]:
    kind, equals, share = written.partition("=")
    try:
        return kind, float(share)
    except ValueError as error:
        hint = "" if equals else "; write KIND=SHARE"
        raise JobError(f"--fault {written}: the share must be a number from 0 to 1{hint}") from error
