"""The command line: arguments in, text and exit codes out.

Everything heavy is imported in the commands: `batchrun --help` must not wait for pyarrow and the SDK.
"""

from batchrun.cli.commands import app
from batchrun.cli.process import main

__all__ = ["app", "main"]
