"""What a scan learns from a file's content, and errors that say which file they come from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from batchrun.errors import InputError


@dataclass(frozen=True, slots=True)
class Facts:
    """Rows, identity and columns of one file."""

    rows: int
    digest: str
    schema: pa.Schema


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn what the operating system and pyarrow raise into an InputError that names `path`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:  # a damaged footer may name columns in any bytes
        raise InputError(f"{path}: {error}") from error
