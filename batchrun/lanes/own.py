"""Lanes of one's own as a job describes them: whose credentials call them, and whose quota they draw on."""

from collections.abc import Sequence
from dataclasses import dataclass

from batchrun.jobspec.running import PROFILE_ARN
from batchrun.jobspec.running import OwnLane as Table


@dataclass(frozen=True, slots=True)
class OwnLane:
    """An [[routing.lane]] table, read: `access` names the credentials, `account` the quota; "" is the job's own."""

    inference_id: str
    source_region: str
    access: str
    account: str
    scope: str | None

    @property
    def system_id(self) -> str:
        """Return the inference ID as the card has it, also where it stands in an ARN."""
        arn = PROFILE_ARN.fullmatch(self.inference_id)
        return arn["id"] if arn is not None and arn["kind"] == "inference-profile" else self.inference_id

    @property
    def label(self) -> str:
        """Return what tells the lane from others of its scope and Region."""
        arn = PROFILE_ARN.fullmatch(self.inference_id)
        own_id = arn["id"] if arn is not None and arn["kind"] != "inference-profile" else ""
        return " of ".join(word for word in (own_id, self.account) if word)


def own_lanes(tables: Sequence[Table]) -> tuple[OwnLane, ...]:
    """Read a job's [[routing.lane]] tables.

    An account is named by its number where a role or any ARN of the same access tells it, else by its profile. An ARN
    that the job's own credentials call is the job's own account's: profiles cannot be called from another.
    """
    accounts: dict[str, str] = {"": ""}
    for table in tables:
        name = access_name(table)
        if name and accounts.get(name, table.profile) == table.profile:
            accounts[name] = _account_of(table)
    return tuple(
        OwnLane(table.id, str(table.source_region), name := access_name(table), accounts[name], table.scope)
        for table in tables
    )


def access_name(table: Table) -> str:
    """Name the credentials that a lane is called with; "" are the job's own."""
    words = [f"role {table.role_arn}" if table.role_arn else "", f"profile {table.profile}" if table.profile else ""]
    return " by ".join(word for word in words if word)


def _account_of(table: Table) -> str:
    if table.role_arn:
        return table.role_arn.split(":")[4]
    arn = PROFILE_ARN.fullmatch(table.id)
    return arn["account"] if arn is not None else str(table.profile)
