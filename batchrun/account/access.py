"""A job's credentials by name: its own, and those of lanes of its own."""

from collections.abc import Mapping

from batchrun.bedrock.credentials import Access
from batchrun.jobspec import JobSpec
from batchrun.lanes.own import access_name


def accesses(spec: JobSpec, endpoint_url: str | None) -> Mapping[str, Access]:
    """Return the credentials that a job's lanes are called with; all go to the same endpoint."""
    found = {"": Access(spec.aws.profile, spec.aws.role_arn, endpoint_url)}
    for table in spec.routing.lane:
        if name := access_name(table):
            found[name] = Access(table.profile, table.role_arn, endpoint_url, keys_only=True)
    return found
