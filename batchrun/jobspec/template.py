"""The job file that `batchrun init` writes."""

from importlib import resources
from pathlib import Path

from batchrun.errors import JobError


def write_template(target: Path) -> None:
    """Write a commented job file to `target`.

    Raises JobError if something is there already, or the folder cannot be written.
    """
    text = (resources.files("batchrun.jobspec") / "template.toml").read_text(encoding="utf-8")
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise JobError(f"{target}: exists already; name another file") from error
    except OSError as error:
        raise JobError(f"{target}: {error.strerror}") from error
