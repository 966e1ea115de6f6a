"""Prompts and credentials go to AWS or stay on this machine."""

import pytest


@pytest.mark.parametrize(
    "url",
    [
        "emulator",
        "http://127.0.0.1:8000",
        "http://127.0.0.1:8000/{region}",
        "https://127.9.9.9/x/{region}/",
        "http://localhost:1",
        "http://LOCALHOST:1",
        "http://[::1]:8000/{region}",
    ],
)
def test_a_loopback_endpoint_is_accepted_as_written(build, url):
    assert build(**{"aws.endpoint_url": url}).aws.endpoint_url == url


@pytest.mark.parametrize(
    "url",
    [
        "https://bedrock-runtime.us-east-1.amazonaws.com",
        "http://10.0.0.1:8000",
        "http://0.0.0.0:8000",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://{region}.localhost",
        "http://127.1:8000",
        "http://2130706433",
        "http://[::ffff:127.0.0.1]:80",
        "http://[::1%25eth0]:80",
    ],
)
def test_an_endpoint_beyond_loopback_is_refused_with_the_reason(refusal, url):
    assert refusal(**{"aws.endpoint_url": url}) == [
        (
            f'x.toml: aws.endpoint_url = "{url}": a custom endpoint must be on loopback (127.0.0.0/8, ::1 or'
            " localhost): prompts and credentials go there"
        )
    ]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "Emulator",
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "http://",
        "http:///x",
        "http://127.0.0.1:99999",
        "http://127.0.0.1\\@example.com",
        " http://127.0.0.1",
        "http://127.0.0.1\n",
        "http://[::1",
    ],
)
def test_what_is_no_endpoint_is_refused_with_examples(refusal, url):
    [line] = refusal(**{"aws.endpoint_url": url})

    assert 'must be "emulator" or a URL such as "http://127.0.0.1:8000/{region}"' in line


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://127.0.0.1/?a=b", "must hold no query and no fragment"),
        ("http://127.0.0.1/#a", "must hold no query and no fragment"),
        ("http://127.0.0.1/{zone}", "may hold {region} and no other braces"),
    ],
)
def test_an_endpoint_holds_a_path_and_the_region_only(refusal, url, rule):
    assert refusal(**{"aws.endpoint_url": url}) == [f'x.toml: aws.endpoint_url = "{url}": {rule}']


def test_a_password_in_an_endpoint_is_refused_and_not_shown(refusal):
    assert refusal(**{"aws.endpoint_url": "http://me:hunter2@127.0.0.1/"}) == [
        'x.toml: aws.endpoint_url = "http://…@127.0.0.1/": must hold no user name and no password'
    ]
