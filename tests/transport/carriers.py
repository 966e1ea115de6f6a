"""Every way that a call can travel: the tests of the contract run over each of them."""

from collections.abc import Callable
from dataclasses import dataclass

from batchrun.bedrock.body import Sampling, invoke_body
from batchrun.bedrock.card import load_card
from batchrun.bedrock.credentials import Access
from batchrun.bedrock.doors import door_of
from batchrun.bedrock.http import HttpTransport
from batchrun.bedrock.sdk import SdkTransport
from batchrun.bedrock.service import NOTHING_ASKED, Service
from batchrun.bedrock.wire import KEEP_ALIVE_S, Wire
from batchrun.clock import slept_s
from batchrun.records import Message, Prompt, Request

CARD = load_card()
US = CARD.scopes["us"].inference_id
SAMPLING = Sampling(max_tokens=100, temperature=0.0)


@dataclass(frozen=True, slots=True)
class Carrier:
    """A transport with the API that it speaks, and where."""

    transport: str
    api: str = "invoke"
    endpoint: str = "runtime"

    def __str__(self) -> str:
        return f"{self.transport}-{self.api}-{self.endpoint}"

    def __call__(
        self,
        access: Access,
        connections: int = 16,
        keep_alive_s: float = KEEP_ALIVE_S,
        slept_s: Callable[[], float] = slept_s,
        sampling: Sampling = SAMPLING,
        service: Service = NOTHING_ASKED,
    ) -> SdkTransport | HttpTransport:
        wire = Wire(self.api, sampling, connections, keep_alive_s, service)
        if self.transport == "sdk":
            return SdkTransport(access, wire, slept_s)
        return HttpTransport(access, wire, door_of(CARD, self.api, self.endpoint), slept_s)

    @property
    def inference_id(self) -> str:
        """Return what is called."""
        return CARD.mantle_model_id if self.endpoint == "mantle" else US

    @property
    def regions(self) -> list[str]:
        """Return two Regions that it can be called from, in order."""
        return ["eu-west-1", "us-east-1"] if self.endpoint == "mantle" else ["us-east-1", "us-west-2"]

    @property
    def speaks_anthropic(self) -> bool:
        """Tell whether errors come in Anthropic's shape."""
        return self.api == "messages"


SDK, HTTP = Carrier("sdk"), Carrier("http")
BOTH = [SDK, HTTP]
ALL = [
    SDK,
    Carrier("sdk", "converse"),
    HTTP,
    Carrier("http", "messages"),
    Carrier("http", "messages", "mantle"),
]


def request(
    text: str = "Say hello. [[output_tokens=12]]", row: int = 0, max_tokens: int = SAMPLING.max_tokens
) -> Request:
    """Return a rendered row."""
    prompt = Prompt("Be brief.", (Message("user", text),))
    return Request(row, prompt, invoke_body(prompt, Sampling(max_tokens, temperature=0.0)), 20, max_tokens)
