"""What a scan learns from a file's content, and errors that say which file they come from."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from batchrun.errors import InputError
from batchrun.storage.s3 import ConflictError, MissingError
from batchrun.storage.source.input_file import InputFile

# Places in a text file where reading can begin: (number of the row that begins there, its first byte), in order.
Marks = tuple[tuple[int, int], ...]

MARK_EVERY_BYTES = 1 << 24  # 10 GB have 600 marks, 10 kB of the manifest; the rows before are skipped in 0.1 s


@dataclass(frozen=True, slots=True)
class Facts:
    """Rows, identity and columns of one file, and places to begin reading at besides its start."""

    rows: int
    digest: str
    schema: pa.Schema
    marks: Marks = ()


@contextmanager
def naming(file: InputFile) -> Iterator[None]:
    """Turn what the operating system, the store and pyarrow raise into an InputError that names `file`.

    A store that cannot be reached or refuses is no fault of the input, and stays a StorageError.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from error
    except ConflictError as error:
        raise InputError(f"{file}: changed since it was scanned: another ETag") from error
    except MissingError as error:
        raise InputError(f"{file}: is not there any more") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:  # a damaged footer may name columns in any bytes
        raise InputError(f"{file}: {error}") from error


def last_mark(marks: Marks, row: int) -> tuple[int, int]:
    """Return the last place to begin reading at from which `row` is reached: (row, byte), at worst the start."""
    index = bisect_right(marks, row, key=lambda mark: mark[0])
    return marks[index - 1] if index else (0, 0)
