"""One call as one POST: the URL, the headers, how long to wait, and what came back."""

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from batchrun.bedrock.answers import read_invoke_answer
from batchrun.bedrock.authorization import Authorization
from batchrun.bedrock.doors import Door
from batchrun.bedrock.faults import Fault
from batchrun.bedrock.refusals import read_refusal
from batchrun.bedrock.wire import CONNECT_TIMEOUT_S, read_timeout_s
from batchrun.records import Completion, Request


@dataclass(frozen=True, slots=True)
class Place:
    """A door in one source Region: its URL without the path, and the proxy on the way there."""

    door: Door
    url: str
    proxy: str | None


class Caller:
    """The connections to one place, and what authorizes calls there."""

    def __init__(self, session: aiohttp.ClientSession, place: Place, authorization: Authorization) -> None:
        self._session = session
        self._place = place
        self._authorization = authorization
        at = urlsplit(place.url)
        self._headers = {**place.door.headers, "host": at.netloc}
        self._base_path = at.path
        self._targets: dict[str, tuple[str, URL]] = {}  # by inference ID: the path that is signed, the URL
        self._timeouts: dict[int, aiohttp.ClientTimeout] = {}  # by max_tokens, of which there are few

    def __repr__(self) -> str:
        return f"Caller({self._place.url}, {self._authorization!r})"

    async def call(self, inference_id: str, request: Request) -> Completion | Fault:
        """Return the answer, or the error that came in its stead.

        Raises MalformedAnswerError, CredentialsError, and whatever aiohttp raises on the way.
        """
        path, url = self._target(inference_id)
        body = self._place.door.body(inference_id, request.body)
        async with self._session.post(
            url,
            data=body,
            headers=await self._authorization.of(path, self._headers, body),
            proxy=self._place.proxy,
            timeout=self._timeout(request.max_tokens),
            allow_redirects=False,  # prompts and signatures go to nobody else
        ) as response:
            answer, headers = await response.read(), response.headers
        if response.status != 200:
            return read_refusal(response.status, headers, answer)
        return replace(
            read_invoke_answer(answer),
            request_id=headers.get("x-amzn-requestid") or headers.get("request-id"),
            service_tier=headers.get("x-amzn-bedrock-service-tier"),
        )

    def _target(self, inference_id: str) -> tuple[str, URL]:
        target = self._targets.get(inference_id)
        if target is None:
            path = self._base_path + self._place.door.path_to(inference_id)
            url = URL(self._place.url + self._place.door.path_to(inference_id), encoded=True)
            target = self._targets[inference_id] = (path, url)
        return target

    def _timeout(self, max_tokens: int) -> aiohttp.ClientTimeout:
        timeout = self._timeouts.get(max_tokens)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=read_timeout_s(max_tokens)
            )
            self._timeouts[max_tokens] = timeout
        return timeout
