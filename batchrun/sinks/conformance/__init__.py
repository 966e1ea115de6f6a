"""The tests that every sink must pass; for plug-ins too.

Subclass `SinkConformance` in a test module, and give it a fixture `place` that returns a new, empty destination as a
`Place`; pytest does the rest:

    class TestMySink(SinkConformance):
        @pytest.fixture
        def place(self, tmp_path):
            return MyPlace(tmp_path / "there")

A `Place` must be picklable, since some of the tests kill a process in the middle of a delivery.
"""

from batchrun.sinks.conformance.parts import Parts
from batchrun.sinks.conformance.place import Place
from batchrun.sinks.conformance.suite import SinkConformance

__all__ = ["Parts", "Place", "SinkConformance"]
