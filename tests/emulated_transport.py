"""A transport onto the emulator without HTTP: the same checks, meters, chaos and answers, on the run's own clock."""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import anyio

from batchrun.bedrock.answers import MalformedAnswerError, read_invoke_answer
from batchrun.bedrock.answers import read_converse_answer as read_converse
from batchrun.bedrock.body import Sampling, converse_arguments, messages_body
from batchrun.bedrock.faults import Fault, classify
from batchrun.bedrock.refusals import read_refusal
from batchrun.bedrock.service import NOTHING_ASKED, Service
from batchrun.bedrock.wire import read_timeout_s
from batchrun.emulator.faults import FAULTS
from batchrun.emulator.reply import Reply, error_reply
from batchrun.emulator.service import Bedrock, Call, Running
from batchrun.records import Completion, Request

_CREDENTIAL = "AKIDEXAMPLE/20261101/{}/{}/aws4_request"
_SIGNATURE = "AWS4-HMAC-SHA256 Credential={}, SignedHeaders=host;x-amz-date, Signature=0badcafe"
_EXPIRED = error_reply(
    FAULTS["ExpiredTokenException"], "The security token included in the request is expired", "invoke"
)


class EmulatedTransport:
    """Carries calls to a Bedrock that lives in this event loop; `sends` counts them by row."""

    def __init__(
        self,
        bedrock: Bedrock,
        api: str = "invoke",
        began_at_s: float = 0.0,
        expire_at_s: Sequence[float] = (),
        slept_s: Callable[[], float] = lambda: 0.0,
        *,
        sampling: Sampling | None = None,
        service: Service = NOTHING_ASKED,
        signed_for: str = "bedrock",
    ) -> None:
        """Take the service, what its clock shows [s] at the first call, and when credentials cease to be good [s].

        `slept_s` is how long our machine has slept; the service does not, and the calls that were out are lost.
        `sampling` is what a job asks of the model by Converse, `service` what it asks of Bedrock; `signed_for` is the
        name of the service in the signature.
        """
        self.bedrock = bedrock
        self.sends: Counter[int] = Counter()
        self.refreshed = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self._api = api
        self._signed_for = signed_for
        self._began_at_s = began_at_s
        self._expire_at_s = list(expire_at_s)
        self._slept_s = slept_s
        self._sampling = sampling
        self._service = service
        self._started_s: float | None = None
        self._ids = count(1)

    async def send(self, inference_id: str, source_region: str, request: Request) -> Completion | Fault:
        """Call the emulator and read its reply as the SDK would."""
        self.sends[request.row] += 1
        self.in_flight += 1
        slept_before_s = self._slept_s()
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            reply = await self._reply(self._call(inference_id, source_region, request))
            if reply.wire == "hang":
                await anyio.sleep(read_timeout_s(request.max_tokens))
        finally:
            self.in_flight -= 1
        if self._slept_s() > slept_before_s:
            return classify("ConnectionLost", None, "nobody answers since we woke up")
        return self._read(reply)

    async def refresh(self) -> None:
        """Take new credentials, good until the next time they expire."""
        self.refreshed += 1
        self._expire_at_s = [at_s for at_s in self._expire_at_s if at_s > self._now_s()]

    def _now_s(self) -> float:
        if self._started_s is None:
            self._started_s = anyio.current_time() + self._slept_s()
        return anyio.current_time() + self._slept_s() - self._started_s + self._began_at_s

    def _call(self, inference_id: str, source_region: str, request: Request) -> Call:
        credential = _CREDENTIAL.format(source_region, self._signed_for)
        headers = {"Authorization": _SIGNATURE.format(credential), "anthropic-version": "2023-06-01"}
        if self._api == "invoke":
            headers |= self._service.headers
        body = request.body
        if self._api == "messages":
            body = messages_body(inference_id, body)
            return Call(f"/{source_region}/anthropic/v1/messages", headers, body)
        if self._api == "converse":
            sampling = replace(self._sampling or Sampling(1), max_tokens=request.max_tokens)
            arguments = {**converse_arguments(request.prompt, sampling), **self._service.converse_arguments}
            body = json.dumps(arguments, default=_base64).encode()
        return Call(f"/{source_region}/model/{inference_id}/{self._api}", headers, body)

    async def _reply(self, call: Call) -> Reply:
        expired = any(at_s <= self._now_s() for at_s in self._expire_at_s)
        outcome = _EXPIRED if expired else self.bedrock.begin(call, self._now_s())
        if isinstance(outcome, Running):
            await anyio.sleep(outcome.wait_s)
            outcome = self.bedrock.finish(outcome, self._now_s())
        await anyio.sleep(self.bedrock.spec.rtt_ms / 1000)
        return outcome

    def _read(self, reply: Reply) -> Completion | Fault:
        if reply.wire == "hang":
            return classify("ReadTimeout", None, "no answer")
        if reply.wire != "whole":
            return classify("ConnectionLost", None, f"the connection was {reply.wire}")
        if reply.status != 200:
            headers = {name.lower(): value for name, value in reply.headers.items()}
            return read_refusal(reply.status, headers, reply.body)
        try:
            if self._api == "converse":
                answer = read_converse(json.loads(reply.body) if reply.body.startswith(b"{") else {})
            else:
                answer = read_invoke_answer(reply.body)
        except MalformedAnswerError as error:
            return classify("MalformedAnswer", 200, str(error))
        tier = reply.headers.get("X-Amzn-Bedrock-Service-Tier")
        return replace(answer, request_id=f"emulated-{next(self._ids)}", service_tier=tier)


def _base64(content: bytes) -> str:
    return b64encode(content).decode()
