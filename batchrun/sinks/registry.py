"""From a [[sink]] table to its sink; a sink's libraries are imported when the first of its kind is made."""

from importlib import import_module

from batchrun.errors import SinkError
from batchrun.jobspec.sinks import SinkTable, plug_in
from batchrun.sinks.protocol import Sink

BUILT_IN = {
    "jsonl": ("batchrun.sinks.jsonl", "JsonlSink"),
    "delta": ("batchrun.sinks.delta", "DeltaSink"),
    "postgres": ("batchrun.sinks.postgres", "PostgresSink"),
}


def make_sink(table: SinkTable) -> Sink:
    """Return a new session with the destination of `table`; nothing is connected yet.

    Raises SinkError if the plug-in has gone since the job file was read.
    """
    if table.type in BUILT_IN:
        module, name = BUILT_IN[table.type]
        sink: type[Sink] = getattr(import_module(module), name)
    elif entry := plug_in(table.type):
        sink = entry.load()
    else:
        raise SinkError(f"no plug-in named {table.type!r} is installed")
    return sink(table)
