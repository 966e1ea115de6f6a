"""One TLS context for all clients of the SDK: each would read the same certificates anew, 20 ms of CPU a client."""

from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from botocore.httpsession import get_cert_path


def sharing_one_context() -> type[AIOHTTPSession]:
    """Return a kind of HTTP session for the SDK whose instances share a context, except towards a proxy."""
    contexts: list[Any] = []

    class Sharing(AIOHTTPSession):
        def _create_connector(self, proxy_url: str | None) -> aiohttp.TCPConnector:
            own: Any = self
            if proxy_url is not None or own._cert_file or not own._verify:
                return super()._create_connector(proxy_url)  # type: ignore[misc, no-any-return]  # not in the stubs
            if not contexts:
                context = own._get_ssl_context()
                context.load_verify_locations(get_cert_path(own._verify))
                contexts.append(context)
            return aiohttp.TCPConnector(limit=own._max_pool_connections, ssl=contexts[0], **own._connector_args)

    return Sharing
