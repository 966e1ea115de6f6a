"""`batchrun report`: one HTML file with figures and plots of an output, also while a run goes on."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from batchrun.errors import InputError, JobError, StorageError
from batchrun.jobspec import JobSpec, load_job
from batchrun.report.figures import figures_of
from batchrun.screen.status import read_status
from batchrun.storage.files import why
from batchrun.storage.manifest import read_manifest
from batchrun.storage.opening import open_store
from batchrun.storage.store import MANIFEST, REPORT


def report(job: Path | str | JobSpec, overrides: Sequence[str] = ()) -> str:
    """Write the report of a job's output beside its parts; return where it is.

    Raises JobError without the extra, InputError without an output, StorageError if a part cannot be read or the
    report not be written.
    """
    try:
        from batchrun.report.page import page
    except ImportError as error:
        raise JobError(f"batchrun report needs the extra: pip install 'batchrun[report]' ({error})") from error
    spec = job if isinstance(job, JobSpec) else load_job(job, overrides)
    with open_store(spec) as store:
        if not store.exists(MANIFEST):
            raise InputError(f"output.path {store.name}: no run has written here yet; start one: batchrun run")
        manifest, status = read_manifest(store), read_status(store)
        told = {"output": store.name, "emulated": manifest.emulated, **status}
        try:
            html = page(spec.name, told, figures_of(store))
        except (OSError, pa.ArrowException, KeyError) as error:
            raise StorageError(
                f"{store.name}: the report cannot be made: {error}; batchrun verify tells more"
            ) from error
        try:
            store.write(REPORT, html.encode(errors="replace"))
        except OSError as error:
            raise StorageError(f"{store.where(REPORT)}: {why(error)}") from error
        return store.where(REPORT)
