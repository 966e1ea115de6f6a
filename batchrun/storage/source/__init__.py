"""The input: rows numbered over Parquet, JSON Lines and CSV files in a fixed order, read in small batches."""

from batchrun.storage.source.batches import RowBatch
from batchrun.storage.source.ids import IdFaults, RepeatedId, duplicate_ids
from batchrun.storage.source.rows import Source
from batchrun.storage.source.scan import scan
from batchrun.storage.source.source_file import SourceFile

__all__ = ["IdFaults", "RepeatedId", "RowBatch", "Source", "SourceFile", "duplicate_ids", "scan"]
