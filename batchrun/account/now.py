"""Discovery from code that is not async, and whether there is any; light to import, unlike what it calls."""

from functools import partial

from batchrun.account.facts import Found
from batchrun.bedrock.card import Card
from batchrun.jobspec import JobSpec


def discover_now(spec: JobSpec, card: Card, *, anew: bool = False) -> Found:
    """Return what AWS says of a job's account; `anew` asks for what was kept, too. It takes up to two seconds."""
    if why := why_not(spec):
        return Found(why_not=why)
    from concurrent.futures import ThreadPoolExecutor

    import anyio

    from batchrun.account.discover import discover  # imports the SDK: half a second

    with ThreadPoolExecutor(1) as thread:  # an event loop may be running in this one
        return thread.submit(anyio.run, partial(discover, spec, card, anew=anew)).result()


def why_not(spec: JobSpec) -> str | None:
    """Say why nothing is to be read from AWS, None if something is."""
    if not spec.quota.discover:
        return "quota.discover = false"
    if spec.aws.endpoint_url is not None and spec.aws.control_url is None:
        return "aws.endpoint_url is set and aws.control_url is not"
    return None
