"""The page that `batchrun doctor` prints."""

from collections.abc import Iterator, Mapping
from typing import Any

from batchrun.screen.printable import in_one_line


def doctor_text(told: Mapping[str, Any]) -> str:
    """Return the page of an examination."""
    return "\n".join(_lines(told))


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{told['job']}: {told['reason']}" + (" (not AWS: aws.endpoint_url is set)" if told["emulated"] else "")
    yield ""
    for identity in told["identities"]:
        whose = f" ({identity['access']})" if identity["access"] else ""
        yield f"identity {in_one_line(identity['identity'])}{whose}"
    if told["discovery"]:
        yield f"account  nothing is read from AWS: {in_one_line(told['discovery'])}"
    if told["lifecycle"]:
        states = sorted(set(told["lifecycle"].values()))
        yield f"model    {told['card']} is {', '.join(states)} in {len(told['lifecycle'])} Regions"
    for quota in told["quotas"]:
        yield f"quota    {quota['pool']}: {', '.join(_numbers(quota))}"
    yield f"dollars  {told['usd']:.6f} for {len(told['lanes'])} tiny calls"
    yield ""
    for lane in told["lanes"]:
        yield f"{lane['state']:<8} {lane['name']} in {lane['latency_s']:.2f} s"
        if lane["what"] is not None:
            yield f"         what:  {lane['what']}"
            yield f"         to do: {lane['to_do']}"
            yield f"         AWS:   {in_one_line(lane['code'])}: {in_one_line(lane['message'])}"
    for refused in told["refused_lanes"]:
        yield f"refused  {refused['scope']} from {refused['source_region']}: {refused['why']}"
    for warning in told["warnings"]:
        yield f"warning: {in_one_line(warning)}"


def _numbers(quota: Mapping[str, Any]) -> Iterator[str]:
    units = {"tokens_per_minute": "tokens/min", "requests_per_minute": "requests/min", "tokens_per_day": "tokens/day"}
    for key, unit in units.items():
        if quota[key] is not None:
            yield f"{quota[key]:,.0f} {unit} ({quota['sources'][key].removeprefix('job: ')})"
