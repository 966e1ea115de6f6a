"""What can end a run, each with the exit code that a shell, cron or Airflow sees."""

from batchrun.redaction import without_credentials


class BatchrunError(Exception):
    """A run that cannot start or go on; a row that fails is data, never one of these."""

    exit_code = 1


class JobError(BatchrunError):
    """The job file is wrong; nothing was sent."""

    exit_code = 2


class InputError(BatchrunError):
    """The input files are wrong, or not those the output belongs to; nothing was sent."""

    exit_code = 2


class RunStopped(BatchrunError):
    """The run ended early and the same command goes on where it stopped."""

    exit_code = 3


class AccessError(BatchrunError):
    """Credentials, permissions or the account's model access keep every lane shut; the message tells no credential."""

    exit_code = 4

    def __init__(self, message: str) -> None:
        super().__init__(without_credentials(message))


class StorageError(BatchrunError):
    """The output could not be written or does not read back as it was written."""

    exit_code = 4


class HurriedError(StorageError):
    """A store was not waited for any longer, since the run was stopped at once; the same command goes on."""

    exit_code = 3


class SinkError(BatchrunError):
    """A sink did not take a part; the part stays in the output and is delivered later."""

    exit_code = 4


class LockedError(BatchrunError):
    """Another run holds this output."""

    exit_code = 5
