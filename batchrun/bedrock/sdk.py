"""The SDK transport: InvokeModel and Converse through aioboto3, one client per source Region for the whole run."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
from aiobotocore.config import AioConfig
from botocore import exceptions as sdk_errors
from botocore import parsers

from batchrun.bedrock.answers import MalformedAnswerError, read_converse_answer, read_invoke_answer
from batchrun.bedrock.body import converse_arguments
from batchrun.bedrock.clients import Open, OverClients
from batchrun.bedrock.credentials import Access, CredentialsError, new_session, stand_in_keys
from batchrun.bedrock.faults import Fault, classify
from batchrun.bedrock.refusals import retry_after_s
from batchrun.bedrock.sockets import LivelySession
from batchrun.bedrock.wire import CONNECT_TIMEOUT_S, USER_AGENT, Wire, read_timeout_s
from batchrun.clock import slept_s
from batchrun.records import Completion, Request

if TYPE_CHECKING:
    from types_aiobotocore_bedrock_runtime import BedrockRuntimeClient


class SdkTransport(OverClients["BedrockRuntimeClient"]):
    """Carries calls through aioboto3 with the SDK's own retries off: one retry policy, ours."""

    def __init__(self, access: Access, wire: Wire, slept_s: Callable[[], float] = slept_s) -> None:
        """Take whose calls these are, how they travel, and how long the machine has slept so far."""
        self._access = access
        self._wire = wire
        super().__init__(slept_s)
        self._config = AioConfig(
            retries={"total_max_attempts": 1, "mode": "standard"},  # named, or AWS_RETRY_MODE=adaptive would slow us
            max_pool_connections=wire.connections,
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=read_timeout_s(wire.sampling.max_tokens),
            http_session_cls=LivelySession,
            signature_version="v4" if access.keys_only else None,
            user_agent=USER_AGENT,  # given whole: the SDK would put its own together anew for every call
            disable_request_compression=True,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            parameter_validation=False,  # the bodies are ours and tested; the check costs CPU on every call
            connector_args={"keepalive_timeout": wire.keep_alive_s},
            # An endpoint of one's own is on this machine: a proxy of the environment would carry prompts off it.
            proxies={} if access.endpoint_url is not None else None,
        )

    async def send(self, inference_id: str, source_region: str, request: Request) -> Completion | Fault:
        """Call `inference_id` from `source_region`; what a call can meet comes back as a Fault."""
        try:
            async with (await self._fleet.awake()).calling(source_region) as client:
                if request.max_tokens < self._wire.sampling.max_tokens:  # the client waits for the longest answer
                    with anyio.fail_after(read_timeout_s(request.max_tokens)):
                        return await self._send(client, inference_id, request)
                return await self._send(client, inference_id, request)
        except CredentialsError as error:
            return classify("CredentialsOutOfReach" if error.passing else "NoCredentials", None, str(error))
        except sdk_errors.ClientError as error:
            return _fault_of(error.response)
        except MalformedAnswerError as error:
            return classify("MalformedAnswer", 200, str(error))
        except (sdk_errors.ConnectTimeoutError, sdk_errors.ProxyConnectionError, sdk_errors.SSLError) as error:
            return classify("ConnectError", None, str(error))
        except sdk_errors.EndpointConnectionError as error:
            return _broken(error)
        except (sdk_errors.ReadTimeoutError, TimeoutError) as error:
            return classify("ReadTimeout", None, str(error))
        except parsers.ResponseParserError as error:
            return classify("MalformedAnswer", 200, str(error))
        except (sdk_errors.HTTPClientError, sdk_errors.IncompleteReadError, aiohttp.ClientError, OSError) as error:
            return classify("ConnectionLost", None, f"{type(error).__name__}: {error}")
        except sdk_errors.BotoCoreError as error:  # credentials or configuration: none of them is a call's own
            return classify("NoCredentials", None, f"{type(error).__name__}: {error}")

    async def _log_in(self) -> "Open[BedrockRuntimeClient]":
        session, keys = await new_session(self._access), stand_in_keys(self._access, os.environ)

        @asynccontextmanager
        async def open_client(source_region: str) -> AsyncIterator["BedrockRuntimeClient"]:
            async with session.client(
                "bedrock-runtime",
                region_name=source_region,
                endpoint_url=self._access.endpoint_at(source_region),
                config=self._config,
                aws_access_key_id=keys.access_key if keys is not None else None,
                aws_secret_access_key=keys.secret_key if keys is not None else None,
            ) as client:
                if self._wire.service.headers:  # before the signature, which then covers them
                    client.meta.events.register("before-call.bedrock-runtime.InvokeModel", self._add_headers)
                yield client

        return open_client

    def _add_headers(self, params: dict[str, Any], **others: object) -> None:
        """Add to an InvokeModel call the headers for which the SDK has no argument."""
        del others
        params["headers"].update(self._wire.service.headers)

    async def _send(self, client: "BedrockRuntimeClient", inference_id: str, request: Request) -> Completion:
        if self._wire.api == "converse":
            return await _converse(client, inference_id, request, self._wire)
        return await _invoke(client, inference_id, request)


async def _invoke(client: "BedrockRuntimeClient", inference_id: str, request: Request) -> Completion:
    answer = await client.invoke_model(
        modelId=inference_id, body=request.body, contentType="application/json", accept="application/json"
    )
    async with answer["body"]:  # else a connection that breaks now keeps its place in the pool until it is collected
        body = await answer["body"].read()
    return _with_headers(read_invoke_answer(body), answer["ResponseMetadata"])


async def _converse(client: "BedrockRuntimeClient", inference_id: str, request: Request, wire: Wire) -> Completion:
    sampling = replace(wire.sampling, max_tokens=request.max_tokens)
    arguments = {**converse_arguments(request.prompt, sampling), **wire.service.converse_arguments}
    answer = await client.converse(modelId=inference_id, **arguments)
    return _with_headers(read_converse_answer(answer), answer["ResponseMetadata"])


def _broken(error: sdk_errors.EndpointConnectionError) -> Fault:
    """Tell a refused connection from one that broke: the SDK calls both the same, but only one may have been billed."""
    cause = error.kwargs.get("error")
    never_connected = isinstance(cause, aiohttp.ClientConnectorError)
    return classify("ConnectError" if never_connected else "ConnectionLost", None, str(error))


def _with_headers(completion: Completion, metadata: Any) -> Completion:
    tier = metadata.get("HTTPHeaders", {}).get("x-amzn-bedrock-service-tier")
    return replace(completion, request_id=metadata.get("RequestId"), service_tier=tier)


def _fault_of(response: Any) -> Fault:
    error, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode")
    headers = metadata.get("HTTPHeaders", {})
    code = str(error.get("Code", ""))
    if code == str(status):
        code = ""  # the SDK puts the status there when the answer names no error type
    return classify(code, status, str(error.get("Message", "")), retry_after_s(headers.get("retry-after")))
