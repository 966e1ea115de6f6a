"""doctor: one tiny call on each lane at once, and what keeps those from answering that do not."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from batchrun.account.access import accesses
from batchrun.account.bearer import key_in_use
from batchrun.account.calls import Calls
from batchrun.account.diagnosis import Diagnosis, diagnose
from batchrun.account.discover import control_url
from batchrun.account.facts import Unread
from batchrun.account.now import discover_now
from batchrun.bedrock.body import Sampling, invoke_body
from batchrun.bedrock.faults import Action, Fault, classify
from batchrun.bedrock.transport import Transport
from batchrun.jobspec import JobSpec
from batchrun.lanes.budget import dollars
from batchrun.lanes.lane import Lane
from batchrun.readyjob import ReadyJob, make_ready
from batchrun.records import Completion, Message, Prompt, Request
from batchrun.redaction import without_credentials
from batchrun.screen.lanes import lane_record
from batchrun.transports import open_transports

ANSWER_S = 30.0  # a call of eight tokens takes one second; a cold model may take far longer
IDENTITY_S = 2.0
TINY = Prompt(None, (Message("user", "Say ok."),))
TINY_TOKENS = 8  # of the answer; at Haiku's prices about 0.00005 dollars a call
OK, BUSY, FAILED = "ok", "busy", "failed"


@dataclass(frozen=True, slots=True)
class Examined:
    """What a lane's tiny call came to; `diagnosis` is None if it was answered."""

    lane: Lane
    usd: float
    latency_s: float
    fault: Fault | None = None
    diagnosis: Diagnosis | None = None

    @property
    def state(self) -> str:
        """Return ok, busy or failed."""
        if self.diagnosis is None:
            return OK
        return BUSY if self.diagnosis.passing else FAILED


def doctor(job: Path | str | JobSpec, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Examine a job's credentials, profiles, quotas and lanes; return what `batchrun doctor --json` prints.

    It reads no rows; it costs one tiny call per lane. Raises JobError if the job is wrong, AccessError without any
    credentials.
    """
    ready = make_ready(job, overrides, partial(discover_now, anew=True))
    return anyio.run(_examine, ready, backend="asyncio")


async def _examine(ready: ReadyJob) -> dict[str, Any]:
    examined: list[Examined] = []
    identities: list[dict[str, Any]] = []
    async with open_transports(ready) as transports, anyio.create_task_group() as tasks:
        tasks.start_soon(_identify, ready, identities)
        for lane in ready.lanes:
            tasks.start_soon(_call, ready, transports[lane.access], lane, examined)
    return _told(ready, sorted(examined, key=lambda one: ready.lanes.index(one.lane)), identities)


async def _call(ready: ReadyJob, transport: Transport, lane: Lane, into: list[Examined]) -> None:
    request = Request(0, TINY, invoke_body(TINY, Sampling(TINY_TOKENS)), input_tokens=10, max_tokens=TINY_TOKENS)
    began_s = time.monotonic()
    answer: Completion | Fault = classify("ReadTimeout", None, f"no answer within {ANSWER_S:g} s")
    with anyio.move_on_after(ANSWER_S):
        answer = await transport.send(lane.inference_id, lane.source_region, request)
    took_s = time.monotonic() - began_s
    if isinstance(answer, Completion):
        into.append(Examined(lane, dollars(answer.usage, ready.prices[lane.price_class]), took_s))
        return
    diagnosis = _blocked(ready, lane, answer) or diagnose(lane, answer, ready.card.base_model_id)
    into.append(Examined(lane, 0.0, took_s, answer, diagnosis))


def _blocked(ready: ReadyJob, lane: Lane, fault: Fault) -> Diagnosis | None:
    """Return that the pool's quota is 0, if a throttle says no more than that."""
    why = ready.quotas[lane.pool].blocked_why
    if why is None or fault.action not in {Action.TOKENS, Action.REQUESTS, Action.DAY}:
        return None
    return Diagnosis(
        why, f"ask for one in Service Quotas of {lane.source_region}; where it is not adjustable, ask AWS Support"
    )


async def _identify(ready: ReadyJob, into: list[dict[str, Any]]) -> None:
    """Say whose credentials each access has, where STS can be asked."""
    spec = ready.spec
    if (key := key_in_use()) is not None:
        into.append({"access": "", "identity": key, "account": None})
    if spec.aws.endpoint_url is not None and spec.aws.control_url is None:
        return
    regions = {lane.access: lane.source_region for lane in ready.lanes}
    async with control_url(spec, ready.card) as url:
        for name, access in accesses(spec, url).items():
            if name not in regions or (key is not None and not name):
                continue
            async with Calls(access, name) as calls:
                deadline_s = anyio.current_time() + IDENTITY_S
                told = await calls.ask("sts", regions[name], "GetCallerIdentity", deadline_s)
                into.append(_identity(name, told, calls.unread))


def _identity(name: str, told: Mapping[str, Any] | None, unread: Sequence[Unread]) -> dict[str, Any]:
    if told:
        return {"access": name, "identity": told["Arn"], "account": told["Account"]}
    why = f"not known: {unread[-1].code}: {without_credentials(unread[-1].message)}" if unread else "not known"
    return {"access": name, "identity": why, "account": None}


def _told(ready: ReadyJob, examined: Sequence[Examined], identities: list[dict[str, Any]]) -> dict[str, Any]:
    states = [one.state for one in examined]
    exit_code, reason = _verdict(states)
    found = ready.found
    return {
        "exit_code": exit_code,
        "reason": reason,
        "job": ready.spec.name,
        "card": ready.card.name,
        "emulated": ready.emulated,
        "identities": identities,
        "discovery": found.nothing_read if found is not None else None,
        "lifecycle": {region: one.status for region, one in found.lifecycles()} if found is not None else {},
        "quotas": [
            {
                "pool": name,
                "tokens_per_minute": quota.tokens_per_minute,
                "requests_per_minute": quota.requests_per_minute,
                "tokens_per_day": quota.tokens_per_day,
                "sources": dict(quota.sources),
            }
            for name, quota in ready.quotas.items()
        ],
        "lanes": [_lane_told(ready, one) for one in examined],
        "refused_lanes": [
            {"scope": one.scope, "source_region": one.source_region, "why": one.why} for one in ready.refused
        ],
        "warnings": list(ready.warnings),
        "usd": round(sum(one.usd for one in examined), 8),
    }


def _verdict(states: Sequence[str]) -> tuple[int, str]:
    """Return the exit code: 0 all answer, 1 some never will, 4 none does, 3 none does just now."""
    answering, failing = states.count(OK), states.count(FAILED)
    reason = f"{answering} of {len(states)} lanes answer"
    if busy := states.count(BUSY):
        reason += f", {busy} {'is' if busy == 1 else 'are'} busy just now"
    if answering:
        return (1 if failing else 0), reason
    return (4 if failing else 3), reason


def _lane_told(ready: ReadyJob, one: Examined) -> dict[str, Any]:
    fault, diagnosis = one.fault, one.diagnosis
    return {
        "name": one.lane.name,
        **lane_record(ready.card, one.lane),
        "state": one.state,
        "latency_s": round(one.latency_s, 3),
        "usd": round(one.usd, 8),
        "code": fault.code if fault is not None else None,
        "message": without_credentials(fault.message) if fault is not None else None,
        "what": without_credentials(diagnosis.what) if diagnosis is not None else None,
        "to_do": diagnosis.to_do if diagnosis is not None else None,
    }
