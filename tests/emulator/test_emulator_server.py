"""The HTTP side: loopback only, a clean end, time on every answer, the Messages API, /stats."""

import json
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request

import anyio
import pytest
from emulated_calls import US_ID, invoke_fields, signed

from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.server import EmulatorError, serve

VERSION = {"anthropic-version": "2023-06-01"}


def send(url, fields=None, headers=None):
    """Return status, headers and JSON of one request."""
    body = None if fields is None else json.dumps(fields).encode()
    request = urllib.request.Request(url, body, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.status, error.headers, json.load(error)


def test_it_listens_on_loopback(start):
    assert start().url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_it_refuses_any_other_host(host):
    async def run():
        async with serve(EmulatorSpec(), host=host):
            pass

    with pytest.raises(EmulatorError, match="loopback only"):
        anyio.run(run)


def test_a_port_in_use_is_one_clear_error():
    async def run():
        async with (
            serve(EmulatorSpec()) as first,
            serve(EmulatorSpec(), port=int(first.url.rpartition(":")[2])),
        ):
            pass

    with pytest.raises(EmulatorError, match=r"port \d+ on 127.0.0.1 is in use"):
        anyio.run(run)


@pytest.mark.parametrize("fault", ["cut", "reset", "hang"])
def test_a_fault_of_the_wire_to_a_client_that_has_gone_logs_nothing(start, caplog, fault):
    emulator = start(latency_s=0.2)
    fields = json.dumps(invoke_fields(f"a [[fault={fault}]] [[output_tokens=2000]]")).encode()
    host, port = emulator.url.removeprefix("http://").split(":")
    head = [f"POST /us-east-1/model/{US_ID}/invoke HTTP/1.1", f"Host: {host}", f"Content-Length: {len(fields)}"]
    head += [f"{name}: {value}" for name, value in signed().items()]
    with socket.create_connection((host, int(port))) as client:
        client.sendall("\r\n".join([*head, "", ""]).encode() + fields)
        while not emulator.stats()["in_flight"]:
            time.sleep(0.01)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it goes without a word
    while not emulator.stats()["paid_calls"]:
        time.sleep(0.01)
    send(f"{emulator.url}/stats")  # once it has answered, it has dealt with the fault too
    send(f"{emulator.url}/stats")

    assert [record.getMessage() for record in caplog.records] == []


def test_stats_are_served_and_the_same_inside(start):
    emulator = start()
    send(f"{emulator.url}/us-east-1/model/{US_ID}/invoke", invoke_fields(), signed())

    status, headers, stats = send(f"{emulator.url}/stats")

    assert (status, headers["x-batchrun-emulator"]) == (200, "1")
    assert (stats["answered"], stats["window"]) == (1, "bucket")
    assert {**stats, "up_s": 0} == {**emulator.stats(), "up_s": 0}


def test_another_page_is_not_found(start):
    assert send(f"{start().url}/")[0] == 404


@pytest.mark.parametrize("max_tokens", [256, 0])  # an answer and a refusal
def test_every_answer_takes_a_round_trip(start, max_tokens):
    emulator = start(rtt_ms=60)
    begin_s = time.monotonic()

    send(f"{emulator.url}/us-east-1/model/{US_ID}/invoke", invoke_fields(max_tokens=max_tokens), signed())

    assert time.monotonic() - begin_s >= 0.06


def test_the_meters_clock_can_be_ones_own():
    clock = [0.0]

    async def run():
        async with serve(EmulatorSpec(tpm=1_000, latency_s=0), now_s=lambda: clock[0]) as emulator:
            url = f"{emulator.url}/us-east-1/model/{US_ID}/invoke"
            call = (url, invoke_fields("a [[output_tokens=180]] [[latency_s=0]]"), signed())
            statuses = [(await anyio.to_thread.run_sync(send, *call))[0] for _ in range(2)]
            clock[0] = 60.0
            return [*statuses, (await anyio.to_thread.run_sync(send, *call))[0]]

    assert anyio.run(run) == [200, 429, 200]


def test_the_messages_api_answers_on_the_runtime(start):
    fields = {"model": US_ID, "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}

    status, _, message = send(
        f"{start().url}/us-east-1/anthropic/v1/messages",
        fields,
        {"x-api-key": "a-key"} | VERSION,
    )

    assert (status, message["type"]) == (200, "message")


@pytest.mark.parametrize(
    ("changes", "status", "error_type"),
    [
        ({"max_tokens": 0}, 400, "invalid_request_error"),
        ({"messages": [{"role": "user", "content": "[[fault=ThrottlingException]]"}]}, 429, "rate_limit_error"),
        ({"messages": [{"role": "user", "content": "[[fault=overloaded_error]]"}]}, 529, "overloaded_error"),
    ],
)
def test_the_messages_api_has_errors_of_its_own_shape(start, changes, status, error_type):
    fields = {"model": US_ID, "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}], **changes}

    told, _, body = send(f"{start().url}/us-east-1/anthropic/v1/messages", fields, signed() | VERSION)

    assert (told, body["type"], body["error"]["type"]) == (status, "error", error_type)


def request_bytes(text):
    """A whole InvokeModel request as it goes over a socket."""
    body = json.dumps(invoke_fields(text)).encode()
    head = f"POST /us-east-1/model/{US_ID}/invoke HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Authorization: {signed()['Authorization']}\r\n\r\n".encode() + body


async def until(holds):
    """Wait until `holds()`, for 5 s at most."""
    with anyio.fail_after(5):
        while not holds():  # noqa: ASYNC110 - the emulator has no event for its numbers
            await anyio.sleep(0.001)


def test_a_client_that_leaves_is_charged_all_the_same():
    async def run():
        async with serve(EmulatorSpec(latency_s=0)) as emulator:
            stream = await anyio.connect_tcp("127.0.0.1", int(emulator.url.rpartition(":")[2]))
            await stream.send(request_bytes("a [[latency_s=0.05]]"))
            await until(lambda: emulator.stats()["in_flight"] == 1)
            await stream.aclose()
            await until(lambda: emulator.stats()["in_flight"] == 0)
            return emulator.stats()["paid_calls"]

    assert anyio.run(run) == 1


def test_it_ends_at_once_although_a_call_hangs():
    async def run():
        async with serve(EmulatorSpec(latency_s=0)) as emulator:
            stream = await anyio.connect_tcp("127.0.0.1", int(emulator.url.rpartition(":")[2]))
            await stream.send(request_bytes("a [[fault=hang]]"))
            await until(lambda: emulator.stats()["paid_calls"] == 1)
            begin_s = time.monotonic()
        took_s = time.monotonic() - begin_s
        await stream.aclose()
        return took_s

    assert anyio.run(run) < 2


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_process_of_its_own_ends_cleanly_when_told_to(sign):
    script = (
        "from batchrun.emulator.config import EmulatorSpec\n"
        "from batchrun.emulator.server import run_forever\n"
        "stats = run_forever(EmulatorSpec(), on_ready=lambda url: print(url, flush=True))\n"
        "print(stats['calls'])\n"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert send(f"{url}/stats")[0] == 200
        process.send_signal(sign)
        out, err = process.communicate(timeout=10)

    assert (process.returncode, out, err) == (0, "0\n", "")
