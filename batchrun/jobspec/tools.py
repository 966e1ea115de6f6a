"""[[prompt.tools]]: tools that the model may ask for; nothing here runs them."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator

from batchrun.jobspec.values import Table, Text
from batchrun.structured.definition import ANSWER_TOOL

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # Converse's bound, the narrower of the two


def a_tool_name(name: str) -> str:
    """Refuse what cannot name a tool."""
    if not NAME.fullmatch(name):
        raise ValueError("must be 1 to 64 letters, digits, '_' or '-'")
    if name == ANSWER_TOOL:
        raise ValueError("is taken: choose another name")
    return name


def an_input_schema(schema: object) -> Any:
    """Refuse what describes no input of a tool."""
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        raise ValueError('must be a JSON Schema with type = "object"')
    if top := sorted({"anyOf", "oneOf", "allOf"} & schema.keys()):
        raise ValueError(f"takes no {top[0]} beside type")
    try:
        json.dumps(schema, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"holds what JSON cannot: {error}") from None
    return schema


class Tool(Table):
    """One tool; `input_schema` says what the model fills in when it asks for it."""

    name: Annotated[str, AfterValidator(a_tool_name)] = Field(
        description="name of the tool: 1 to 64 letters, digits, '_' or '-'"
    )
    description: Text | None = Field(default=None, description="what it is for, in words for the model")
    input_schema: Annotated[Any, PlainValidator(an_input_schema)] = Field(
        description='JSON Schema of what the model fills in, with type = "object"'
    )

    def declared(self) -> dict[str, Any]:
        """Return the tool as the Messages API writes it."""
        told = {"description": self.description} if self.description is not None else {}
        return {"name": self.name, **told, "input_schema": self.input_schema}
