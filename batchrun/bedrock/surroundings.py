"""What the SDK's settings, its environment and files, say of the way to AWS: endpoints, proxies, certificates."""

import os
import ssl
from typing import Any
from urllib.parse import urlsplit

from botocore.configprovider import ConfiguredEndpointProvider
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from batchrun.errors import AccessError
from batchrun.jobspec.endpoint import is_loopback

SERVICES = ("bedrock-runtime", "bedrock-mantle")
OTHER_HOSTS = ("use_fips_endpoint", "use_dualstack_endpoint")  # settings that change where AWS is reached


def configured_endpoint(core: Any, service: str) -> str | None:
    """Return the endpoint that AWS_ENDPOINT_URL, the like for one service, or the profile names; None for AWS's own."""
    found: str | None = ConfiguredEndpointProvider(
        full_config=core.full_config, scoped_config=core.get_scoped_config(), client_name=service
    ).provide()
    if found is None or str(core.get_config_variable("ignore_configured_endpoint_urls")).lower() == "true":
        return None
    return found


def check_endpoints(core: Any) -> None:
    """Refuse an endpoint of the environment that would have prompts and signatures sent in the clear.

    Raises AccessError naming it.
    """
    for service in SERVICES:
        endpoint = configured_endpoint(core, service)
        if endpoint is None:
            continue
        parts = urlsplit(endpoint)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise AccessError(
                f"the environment's endpoint for {service} is {parts.scheme}://{parts.hostname}: prompts and "
                "signatures go out over TLS only, except on loopback; set an https:// URL or unset AWS_ENDPOINT_URL"
            )


def check_hosts(core: Any) -> None:
    """Refuse settings by which the SDK would choose other hosts than the card's.

    Raises AccessError naming the setting.
    """
    for setting in OTHER_HOSTS:
        if core.get_config_variable(setting):
            raise AccessError(f'AWS_{setting.upper()} is set: only model.transport = "sdk" knows those hosts')


def proxy_for(url: str) -> str | None:
    """Return the proxy of the environment for `url`, by the SDK's rules."""
    proxies: dict[str, str] = get_environ_proxies(url)
    return proxies.get(urlsplit(url).scheme)


def trust(core: Any) -> ssl.SSLContext:
    """Return whose certificates are believed: those that the SDK would believe.

    Raises AccessError if their file cannot be read.
    """
    chosen = core.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(verify=True)
    try:
        return ssl.create_default_context(cafile=chosen)
    except OSError as error:  # of which SSLError is one
        raise AccessError(f"AWS_CA_BUNDLE: {chosen} is no readable file of certificates: {error}") from error
