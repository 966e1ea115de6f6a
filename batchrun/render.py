"""Rendering: an input row becomes a prompt, by templates or from a column of messages, with its images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batchrun.bedrock.image import MOST_IMAGES, Image
from batchrun.bedrock.turns import Turns, turns_from
from batchrun.pictures import PictureError, Pictures
from batchrun.records import Message, Prompt
from batchrun.template import RENDERING_ERRORS, RowError, Template, cause_of, cells_of, environment_of_rows

__all__ = ["Renderer", "RowError", "Templates"]


@dataclass(frozen=True, slots=True)
class Templates:
    """A job's prompt: templates over the row's columns, or a column of messages instead of `user`.

    `tools` says whether messages may hold tool calls, `answers_begun` whether the last may be the assistant's.
    """

    system: str | None = None
    user: str | None = None
    messages: str | None = None
    prefill: str | None = None
    tools: bool = False
    answers_begun: bool = True


class Renderer:
    """Turns rows into prompts; `columns` names what it reads of the input."""

    def __init__(self, templates: Templates, pictures: Pictures | None = None) -> None:
        """Compile the templates; `pictures` takes the images out of rows.

        Raises JobError naming the template, the line and what is wrong.
        """
        self._environment = environment_of_rows()
        self._system = self._template("prompt.system", templates.system)
        self._user = self._template("prompt.user", templates.user)
        self._system_text = self._system.constant() if self._system is not None else None
        self._messages = templates.messages
        self._prefill = templates.prefill
        self._tools = templates.tools
        self._answers_begun = templates.answers_begun
        self.pictures = pictures
        named = [template.columns() for template in (self._system, self._user) if template is not None]
        own = [self._messages] if self._messages is not None else []
        seen = pictures.columns if pictures is not None else ()
        self.columns = list(dict.fromkeys([*own, *(column for columns in named for column in columns), *seen]))

    @property
    def fixed_system(self) -> str | None:
        """Return the system prompt if it is the same for all rows."""
        return self._system_text

    def images(self, cells: Mapping[str, Any]) -> Sequence[Image]:
        """Return a row's images; meant for a thread beside the event loop, since it waits for disks and stores.

        Raises RowError if one of them cannot be sent, StorageError if a store is out of reach.
        """
        if self.pictures is None:
            return ()
        try:
            return self.pictures.of(cells)
        except PictureError as error:
            raise RowError(str(error)) from error

    def prompt(self, cells: Mapping[str, Any], images: Sequence[Image] = ()) -> Prompt:
        """Render one row, with its images before the text of the last user message.

        Raises RowError if a cell is null, a template fails, or a message list is not one.
        """
        row = cells_of(cells)
        self._environment.begin()
        try:
            system = self._system_text
            if system is None and self._system is not None:
                system = self._system.render(row)
            if self._user is not None:
                text = _filled(self._user.render(row))
                return self._whole(Turns(system, (Message("user", text),)), images)
            turns = _turns(self._messages, cells)
        except RENDERING_ERRORS as error:
            raise RowError(f"cannot be rendered: {cause_of(error)}") from error
        if turns.system is not None and system is not None:
            raise RowError(f"column {self._messages!r} has a system message, and so has prompt.system")
        if turns.uses_tools and not self._tools:
            raise RowError(f"column {self._messages!r} has tool calls: declare the tools in prompt.tools")
        if not self._answers_begun and turns.messages[-1].role == "assistant":
            raise RowError(f"column {self._messages!r} begins the answer: reasoning and schemas begin it themselves")
        return self._whole(turns if system is None else replace(turns, system=system), images)

    def _template(self, name: str, source: str | None) -> Template | None:
        return Template(self._environment, name, source) if source is not None else None

    def _whole(self, turns: Turns, images: Sequence[Image]) -> Prompt:
        messages = turns.messages
        if images:
            messages = _with_images(messages, images)
        if self._prefill is not None:
            messages = (*messages, Message("assistant", self._prefill))
        seen = (*turns.images, *images)
        if len(seen) > MOST_IMAGES:
            raise RowError(f"has {len(seen)} images, Bedrock takes {MOST_IMAGES}")
        return Prompt(
            turns.system,
            messages,
            image_tokens=sum(image.tokens for image in seen),
            image_bytes=sum(image.size_bytes for image in seen),
        )


def _turns(column: str | None, cells: Mapping[str, Any]) -> Turns:
    assert column is not None, "a job has either prompt.user or prompt.messages"
    if cells[column] is None:
        raise RowError(f"column {column!r} is null")
    try:
        return turns_from(cells[column])
    except ValueError as error:
        raise RowError(f"column {column!r}: {error}") from error


def _with_images(messages: tuple[Message, ...], images: Sequence[Image]) -> tuple[Message, ...]:
    """Put images before the text of the last user message; results of tools stay first, as the API wants them."""
    place = max(place for place, message in enumerate(messages) if message.role == "user")
    content = messages[place].content
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    results = [block for block in blocks if block["type"] == "tool_result"]
    others = [block for block in blocks if block["type"] != "tool_result"]
    whole = Message("user", [*results, *(image.block for image in images), *others])
    return (*messages[:place], whole, *messages[place + 1 :])


def _filled(text: str) -> str:
    if not text.strip():
        raise RowError("prompt.user rendered to nothing but white space, which Bedrock refuses")
    return text
