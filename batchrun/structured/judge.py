"""Whether an answer fits the job's schema and the column that it becomes."""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema
from jsonschema.exceptions import best_match

from batchrun.structured.column import AnswerColumn
from batchrun.structured.definition import Schema

SHOWN = 60  # characters of a bound


class SchemaJudge:
    """Holds answers against a schema that was checked before."""

    def __init__(self, schema: Schema) -> None:
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        self._validator = kind(_plain(schema))
        self._column = AnswerColumn(schema)

    def problem(self, answer: str) -> str | None:
        """Return where the answer does not fit; what it says there is for no log and no summary."""
        try:
            value = json.loads(answer, parse_constant=_no_constant)
            error = best_match(self._validator.iter_errors(value))
            if error is None:
                self._column.cell(value)
        except json.JSONDecodeError as wrong:
            return f"not JSON: {wrong.msg} at character {wrong.pos}" if answer.strip() else "empty, not JSON"
        except ValueError as wrong:  # numbers that no column holds
            return f"a value of the answer {wrong}"
        except RecursionError:
            return "nested too deeply"
        return None if error is None else _said(error)


def _said(error: Any) -> str:
    where = "answer" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in _known(error))
    if error.validator == "required" and isinstance(error.instance, Mapping):
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{where} lacks {', '.join(missing)}"
    bound = json.dumps(error.validator_value, ensure_ascii=False, default=str)
    return f"{where} does not fit {error.validator} = {bound if len(bound) <= SHOWN else bound[:SHOWN] + '…'}"


def _known(error: Any) -> list[str | int]:
    """Return the way to a value, as far as the schema names it: other keys are the model's own words."""
    schema_steps = {str(step) for step in error.absolute_schema_path}
    way: list[str | int] = []
    for step in error.absolute_path:
        if isinstance(step, str) and step not in schema_steps:
            break
        way.append(step)
    return way


def _plain(value: Any) -> Any:
    """Copy frozen tables and tuples into what jsonschema takes for objects and arrays."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _no_constant(name: str) -> None:
    raise ValueError(f"is {name}, which is not JSON")
