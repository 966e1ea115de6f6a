"""Where credentials come from and how they are renewed, by the SDK's own providers against fakes on loopback."""

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from carriers import BOTH, Carrier, request

from batchrun.bedrock.credentials import Access
from batchrun.bedrock.faults import Action, Fault
from batchrun.errors import AccessError
from batchrun.records import Completion

ROLE = "arn:aws:iam::123456789012:role/batchrun"
# The SDK renews what ends within ten minutes before every call, and tries to from fifteen minutes on.
SHORT = timedelta(minutes=5)
LONG = timedelta(hours=6)
ANSWER = {
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 9, "output_tokens": 2},
}
pytestmark = pytest.mark.anyio


over_both = pytest.mark.parametrize("carrier", BOTH, ids=str)


@dataclass
class Fake:
    """A Bedrock that takes the newest key alone, and a place that hands out keys: KEY1, KEY2 and so on.

    `life` is how long the next key lasts; `trouble` answers in the place's stead while it is set.
    """

    life: timedelta = SHORT
    trouble: Callable[[], web.Response] | None = None
    keys: int = 0
    used: list[str] = field(default_factory=list)
    url: str = ""

    def next_key(self) -> dict[str, str]:
        self.keys += 1
        ends_at = datetime.now(UTC) + self.life
        return {
            "AccessKeyId": f"KEY{self.keys}",
            "SecretAccessKey": "not-a-secret",
            "Token": f"token-{self.keys}",
            "Expiration": ends_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    async def answer(self, call: web.Request) -> web.Response:
        if "/model/" in call.path:
            return self._bedrock(call.headers["Authorization"])
        if self.trouble is not None:
            return self.trouble()
        if call.path == "/latest/api/token":
            return web.Response(text="metadata-token", headers={"x-aws-ec2-metadata-token-ttl-seconds": "60"})
        if call.path == "/latest/meta-data/iam/security-credentials/":
            return web.Response(text="the-role")
        if call.path.startswith("/latest/"):
            return web.json_response(self.next_key() | {"Code": "Success", "Type": "AWS-HMAC"})
        if call.path == "/federation/credentials":
            return self._sso()
        return web.json_response(self.next_key()) if call.path == "/container" else self._sts()

    def _bedrock(self, authorization: str) -> web.Response:
        key = authorization.partition("Credential=")[2].partition("/")[0]
        self.used.append(key)
        if key == f"KEY{self.keys}":
            return web.json_response(ANSWER)
        message = {"message": "The security token included in the request is expired"}
        return web.json_response(message, status=403, headers={"x-amzn-ErrorType": "ExpiredTokenException"})

    def _sts(self) -> web.Response:
        key = self.next_key()
        return web.Response(text=ASSUMED.format(**key), content_type="text/xml")

    def _sso(self) -> web.Response:
        key = self.next_key()
        role = {
            "accessKeyId": key["AccessKeyId"],
            "secretAccessKey": key["SecretAccessKey"],
            "sessionToken": key["Token"],
            "expiration": int((datetime.now(UTC) + self.life).timestamp() * 1000),
        }
        return web.json_response({"roleCredentials": role})


ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><AssumedRoleId>AROA:batchrun</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/x</Arn>
</AssumedRoleUser><Credentials><AccessKeyId>{AccessKeyId}</AccessKeyId><SecretAccessKey>{SecretAccessKey}
</SecretAccessKey><SessionToken>{Token}</SessionToken><Expiration>{Expiration}</Expiration></Credentials>
</AssumeRoleResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleResponse>"""


@asynccontextmanager
async def serving(fake: Fake) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(fake.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake.url
    finally:
        await runner.cleanup()


class Places:
    """The places that credentials come from, each set up in an environment of its own."""

    def __init__(self, environment: pytest.MonkeyPatch, folder: Path) -> None:
        self._environment = environment
        self._folder = folder

    def set_up(self, place: str, url: str) -> Access:
        self._set(AWS_ENDPOINT_URL_BEDROCK_RUNTIME=url, AWS_DEFAULT_REGION="us-east-1")
        access: Access = getattr(self, f"_{place}")(url)
        return access

    def _container(self, url: str) -> Access:
        self._set(AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{url}/container")
        return Access()

    def _instance(self, url: str) -> Access:
        self._set(AWS_EC2_METADATA_SERVICE_ENDPOINT=url, AWS_EC2_METADATA_DISABLED="false")
        return Access()

    def _role(self, url: str) -> Access:
        self._set(AWS_ENDPOINT_URL_STS=url, AWS_ACCESS_KEY_ID="SOURCE", AWS_SECRET_ACCESS_KEY="not-a-secret")
        return Access(role_arn=ROLE)

    def _profile_with_a_role(self, url: str) -> Access:
        self._set(AWS_ENDPOINT_URL_STS=url)
        source = "[profile source]\naws_access_key_id = SOURCE\naws_secret_access_key = not-a-secret\n"
        return self._profile(f"role_arn = {ROLE}\nsource_profile = source", source)

    def _process(self, url: str) -> Access:
        program = self._folder / "login.py"
        program.write_text(
            "import json, urllib.request\n"
            f"key = json.load(urllib.request.urlopen('{url}/container'))\n"
            "print(json.dumps({'Version': 1, 'SessionToken': key.pop('Token'), **key}))\n"
        )
        return self._profile(f"credential_process = {sys.executable} {program}")

    def _sso(self, url: str) -> Access:
        self._set(AWS_ENDPOINT_URL_SSO=url)
        cache = self._folder / "sso"
        cache.mkdir()
        # The SDK looks up the home folder when it is imported, so HOME comes too late.
        self._environment.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(cache))
        ends_at = (datetime.now(UTC) + LONG).strftime("%Y-%m-%dT%H:%M:%SZ")
        signed_in = {"accessToken": "not-a-secret", "expiresAt": ends_at, "startUrl": "https://x.awsapps.com/start"}
        name = sha1(b"https://x.awsapps.com/start", usedforsecurity=False).hexdigest()
        (cache / f"{name}.json").write_text(json.dumps(signed_in))
        return self._profile(
            "sso_start_url = https://x.awsapps.com/start\nsso_region = us-east-1\n"
            "sso_account_id = 123456789012\nsso_role_name = batchrun"
        )

    def _profile(self, lines: str, more: str = "") -> Access:
        config = self._folder / "config"
        config.write_text(f"[profile work]\n{lines}\n{more}")
        self._set(AWS_CONFIG_FILE=str(config))
        return Access(profile="work")

    def _set(self, **names: str) -> None:
        for name, value in names.items():
            self._environment.setenv(name, value)


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Places:
    return Places(monkeypatch, tmp_path)


# Where an instance has no longer ones, the SDK goes on with what it has: Bedrock has the last word.
BY_THE_CLOCK = ["container", "role", "profile_with_a_role", "process", "sso"]
PLACES = [*BY_THE_CLOCK, "instance"]


@pytest.mark.parametrize("place", BY_THE_CLOCK)
@over_both
async def test_credentials_that_end_soon_are_renewed_while_calls_go_on(
    carrier: Carrier, places: Places, place: str
) -> None:
    fake = Fake()
    async with serving(fake) as url, carrier(places.set_up(place, url)) as transport:
        answers = [await transport.send(carrier.inference_id, "us-east-1", request(row=row)) for row in range(3)]

    assert all(isinstance(answer, Completion) for answer in answers), answers
    assert len(set(fake.used)) == 3  # a new key for each call, since none of them lasts for ten minutes


@pytest.mark.parametrize("place", PLACES)
@over_both
async def test_credentials_that_last_are_fetched_once(carrier: Carrier, places: Places, place: str) -> None:
    fake = Fake(life=LONG)
    async with serving(fake) as url, carrier(places.set_up(place, url)) as transport:
        for region in ("us-east-1", "us-west-2", "us-east-1"):
            assert isinstance(await transport.send(carrier.inference_id, region, request()), Completion)

    assert fake.used == ["KEY1"] * 3


@pytest.mark.parametrize("place", PLACES)
@over_both
async def test_credentials_that_aws_calls_expired_too_early_are_fetched_anew(
    carrier: Carrier, places: Places, place: str
) -> None:
    fake = Fake(life=LONG)
    async with serving(fake) as url, carrier(places.set_up(place, url)) as transport:
        await transport.send(carrier.inference_id, "us-east-1", request())
        fake.keys += 1  # Bedrock wants another than was handed out: an administrator ended the session
        refused = await transport.send(carrier.inference_id, "us-east-1", request())
        await transport.refresh()
        answer = await transport.send(carrier.inference_id, "us-east-1", request())

    assert isinstance(refused, Fault)
    assert refused.action is Action.REFRESH
    assert isinstance(answer, Completion)


@pytest.mark.parametrize("place", BY_THE_CLOCK)
@over_both
async def test_credentials_that_can_no_longer_be_had_are_told_from_a_call_that_failed(
    carrier: Carrier, places: Places, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)  # between three tries
    fake = Fake()
    async with serving(fake) as url, carrier(places.set_up(place, url)) as transport:
        await transport.send(carrier.inference_id, "us-east-1", request())
        fake.trouble = lambda: web.Response(status=403, text=NOT_ALLOWED)
        fault = await transport.send(carrier.inference_id, "us-east-1", request())

    assert isinstance(fault, Fault)
    assert (fault.code, fault.action, fault.maybe_billed) == ("NoCredentials", Action.RUN, False)


NOT_ALLOWED = """<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no sts:AssumeRole</Message>
</Error><RequestId>1</RequestId></ErrorResponse>"""
BUSY = NOT_ALLOWED.replace("AccessDenied", "Throttling").replace("no sts:AssumeRole", "Rate exceeded")


@pytest.mark.parametrize(("status", "body"), [(400, BUSY), (500, "")], ids=["throttled", "broken"])
@over_both
async def test_a_token_service_in_trouble_is_no_end_and_no_fault_of_the_row(
    carrier: Carrier, places: Places, monkeypatch: pytest.MonkeyPatch, status: int, body: str
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # the SDK's own pauses between tries would take seconds
    fake = Fake()
    async with serving(fake) as url, carrier(places.set_up("role", url)) as transport:
        fake.trouble = lambda: web.Response(status=status, text=body)
        fault = await transport.send(carrier.inference_id, "us-east-1", request())
        fake.trouble = None
        answer = await transport.send(carrier.inference_id, "us-east-1", request())

    assert isinstance(fault, Fault)
    assert (fault.code, fault.action, fault.maybe_billed) == ("CredentialsOutOfReach", Action.COOL, False)
    assert isinstance(answer, Completion)


@over_both
async def test_new_credentials_that_have_expired_already_are_no_bug_of_ours(carrier: Carrier, places: Places) -> None:
    fake = Fake()
    async with serving(fake) as url, carrier(places.set_up("container", url)) as transport:
        fake.life = -SHORT  # the SDK raises a RuntimeError
        fault = await transport.send(carrier.inference_id, "us-east-1", request())

    assert isinstance(fault, Fault)
    assert (fault.code, fault.action) == ("NoCredentials", Action.RUN)
    assert "still expired" in fault.message


@pytest.mark.parametrize("program", ["/nonexistent/login", f"{sys.executable} -c print(1,2)"])
@over_both
async def test_a_credential_process_that_is_no_such_thing_is_said_before_a_call(
    carrier: Carrier, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    config = tmp_path / "config"
    config.write_text(f"[profile work]\ncredential_process = {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with pytest.raises(AccessError, match="no AWS credentials"):
        await carrier(Access(profile="work")).__aenter__()


@over_both
async def test_a_shared_file_that_a_login_wrote_anew_is_read_again(
    carrier: Carrier, tmp_path: Path, monkeypatch: Any
) -> None:
    shared = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    fake = Fake(keys=1)

    def log_in() -> None:
        key = f"aws_access_key_id = KEY{fake.keys}\naws_secret_access_key = not-a-secret\naws_session_token = token\n"
        shared.write_text(f"[default]\n{key}")

    log_in()
    async with serving(fake) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url)
        async with carrier(Access()) as transport:
            before = await transport.send(carrier.inference_id, "us-east-1", request())
            fake.keys += 1
            refused = await transport.send(carrier.inference_id, "us-east-1", request())
            log_in()
            await transport.refresh()
            after = await transport.send(carrier.inference_id, "us-east-1", request())

    assert isinstance(before, Completion)
    assert isinstance(refused, Fault)
    assert isinstance(after, Completion)


@over_both
async def test_many_calls_at_once_wait_for_one_renewal(carrier: Carrier, places: Places) -> None:
    fake = Fake()
    async with serving(fake) as url, carrier(places.set_up("container", url)) as transport:
        fake.life = LONG
        async with anyio.create_task_group() as calls:
            for row in range(40):
                calls.start_soon(transport.send, carrier.inference_id, "us-east-1", request(row=row))

    assert fake.keys == 2
    assert set(fake.used) == {"KEY2"}


@over_both
@pytest.mark.parametrize(
    "said", ["Authentication failed: Please make sure your API Key is valid.", "Bearer Token has expired"]
)
async def test_a_bedrock_key_that_has_expired_is_told_from_a_lane_without_access(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-not-a-secret")

    async def refuse(call: web.Request) -> web.Response:
        assert call.headers["Authorization"].startswith("Bearer ")
        headers = {"x-amzn-ErrorType": "AccessDeniedException:http://internal.amazon.com/coral/com.amazon.bedrock/"}
        return web.json_response({"Message": said}, status=403, headers=headers)

    runner = web.ServerRunner(web.Server(refuse))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        async with carrier(Access()) as transport:
            fault = await transport.send(carrier.inference_id, "us-east-1", request())
    finally:
        await runner.cleanup()

    assert isinstance(fault, Fault)
    assert (fault.code, fault.action, fault.message) == ("AccessDeniedException", Action.REGION, said)
