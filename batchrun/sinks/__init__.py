"""Sinks: where finished parts go besides the output folder; docs/sinks.md tells how to write one."""

from batchrun.errors import SinkError
from batchrun.jobspec.sinks import SinkTable
from batchrun.sinks.part import Part
from batchrun.sinks.protocol import Sink

__all__ = ["Part", "Sink", "SinkError", "SinkTable"]
