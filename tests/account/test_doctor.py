"""The doctor on an emulator: what it finds, what it says to do, and how it exits."""

import json

import pytest
from typer.testing import CliRunner

from batchrun.account.doctor import doctor
from batchrun.cli import app
from tests.account.accounts import account, job_of


def lane(told, region):
    return next(one for one in told["lanes"] if one["source_region"] == region)


def outage(kind, region="us-west-2"):
    return {"outages": [{"region": region, "kind": kind}]}


def test_lanes_that_answer_are_exit_0_with_the_dollars_it_cost(tmp_path):
    with account(tpm=90_000) as emulator:
        told = doctor(job_of(tmp_path, emulator))
        stats = emulator.stats()

    # One call a lane; what was billed at geo prices: 1.1 dollars a million tokens in, 5.5 out.
    usd = (1.1 * stats["paid_input_tokens"] + 5.5 * stats["paid_output_tokens"]) / 1e6
    assert (told["exit_code"], told["reason"]) == (0, "2 of 2 lanes answer")
    assert [one["state"] for one in told["lanes"]] == ["ok", "ok"]
    assert stats["paid_calls"] == 2
    assert told["usd"] == pytest.approx(usd, abs=1e-8)
    assert told["usd"] < 0.0002


def test_it_tells_who_is_asking_and_what_the_account_has(tmp_path):
    with account(tpm=90_000) as emulator:
        told = doctor(job_of(tmp_path, emulator))

    assert told["identities"] == [
        {"access": "", "identity": "arn:aws:iam::123456789012:user/emulated", "account": "123456789012"}
    ]
    assert told["lifecycle"] == {"us-east-1": "ACTIVE", "us-west-2": "ACTIVE"}
    assert [quota["tokens_per_minute"] for quota in told["quotas"]] == [90_000, 90_000]


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("FTUFormNotFilled", "use-case form"),
        ("marketplace-pending", "Marketplace agreement"),
        ("scp-denied", "forbids us-east-2: the ID may run the call there"),
        ("AccessDeniedException", "no access to the model"),
        ("UnrecognizedClientException", "Region is not enabled"),
        ("ExpiredTokenException", "expired"),
        ("InvalidSignatureException", "clock"),
        ("RequestExpired", "clock"),
    ],
)
def test_a_lane_that_never_answers_is_exit_1_with_what_to_do(tmp_path, kind, what):
    with account(**outage(kind)) as emulator:
        told = doctor(job_of(tmp_path, emulator))
    west = lane(told, "us-west-2")

    assert (told["exit_code"], told["reason"]) == (1, "1 of 2 lanes answer")
    assert west["state"] == "failed"
    assert what in west["what"]
    assert west["to_do"]
    assert lane(told, "us-east-1")["state"] == "ok"


def test_no_lane_that_answers_is_exit_4(tmp_path):
    with account(**outage("FTUFormNotFilled", "*")) as emulator:
        told = doctor(job_of(tmp_path, emulator))

    assert (told["exit_code"], told["reason"], told["usd"]) == (4, "0 of 2 lanes answer", 0)


def test_a_lane_that_is_busy_is_no_failure(tmp_path):
    with account(**outage("ServiceUnavailableException")) as emulator:
        told = doctor(job_of(tmp_path, emulator))

    assert (told["exit_code"], told["reason"]) == (0, "1 of 2 lanes answer, 1 is busy just now")


def test_nobody_answering_just_now_is_exit_3(tmp_path):
    with account(**outage("ServiceUnavailableException", "*")) as emulator:
        assert doctor(job_of(tmp_path, emulator))["exit_code"] == 3


@pytest.mark.parametrize("number", ["tpm", "tpd"])
def test_a_quota_of_0_is_a_failure_and_says_where_the_0_stands(tmp_path, number):
    with account(pools={"us-west-2/geo": {number: 0}}) as emulator:
        told = doctor(job_of(tmp_path, emulator))
    west = lane(told, "us-west-2")

    assert told["exit_code"] == 1
    assert west["what"].startswith("its quota is 0: tokens_per_")
    assert "Service Quotas: applied value" in west["what"]


def test_a_day_quota_that_nobody_told_of_is_guessed_from_the_refusal(tmp_path):
    with account(pools={"us-west-2/geo": {"tpd": 0}}, denied=["ListServiceQuotas"]) as emulator:
        told = doctor(job_of(tmp_path, emulator))

    assert "or are 0 as in many new accounts" in lane(told, "us-west-2")["what"]


def test_it_asks_anew_whatever_was_kept(tmp_path):
    with account(tpm=90_000) as emulator:
        doctor(job_of(tmp_path, emulator))
    with account(tpm=70_000) as emulator:
        told = doctor(job_of(tmp_path, emulator))

    assert told["quotas"][0]["tokens_per_minute"] == 70_000


def test_converse_lanes_are_called_as_the_job_would(tmp_path):
    with account() as emulator:
        assert doctor(job_of(tmp_path, emulator, model={"api": "converse"}))["exit_code"] == 0


def test_mantle_is_examined_by_its_own_door(tmp_path):
    mantle = {"model": {"api": "messages", "endpoint": "mantle"}, "quota": {"tokens_per_minute": None}}
    routing = {"scopes": None, "source_regions": ["us-east-1"]}
    with account() as emulator:
        told = doctor(job_of(tmp_path, emulator, routing=routing, **mantle))

    assert (told["exit_code"], [one["pool"] for one in told["lanes"]]) == (0, ["us-east-1/mantle"])


# The command


def job_file(folder, emulator, text=""):
    path = folder / "job.toml"
    path.write_text(
        f"""
        name = "checked"
        input.path = "rows.parquet"
        prompt.user = "{{{{ text }}}}"
        generation.max_tokens = 20
        routing.scopes = ["us"]
        routing.source_regions = ["us-east-1", "us-west-2"]
        output.path = "out"
        aws.endpoint_url = "{emulator.url}/{{region}}"
        aws.control_url = "{emulator.url}/{{region}}"
        {text}
        """
    )
    return str(path)


def test_the_page_names_each_lane_and_what_to_do(tmp_path):
    with account(**outage("scp-denied")) as emulator:
        result = CliRunner().invoke(app, ["doctor", job_file(tmp_path, emulator)])
    page = result.stdout

    assert result.exit_code == 1
    assert page.startswith("checked: 1 of 2 lanes answer")
    assert "identity arn:aws:iam::123456789012:user/emulated" in page
    assert "ok       us from us-east-1" in page
    assert "failed   us from us-west-2" in page
    assert "to do: ask who keeps it to allow bedrock:InvokeModel there" in page
    assert "for 2 tiny calls" in page


def test_json_is_one_object_with_the_exit_code(tmp_path):
    with account() as emulator:
        result = CliRunner().invoke(app, ["doctor", job_file(tmp_path, emulator), "--json"])
    told = json.loads(result.stdout)

    assert (result.exit_code, told["exit_code"], len(told["lanes"])) == (0, 0, 2)


def test_it_needs_neither_input_nor_output(tmp_path):
    with account() as emulator:
        result = CliRunner().invoke(app, ["doctor", job_file(tmp_path, emulator)])

    assert result.exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.toml"]


def test_without_credentials_it_says_so_and_exits_4(tmp_path):
    with account() as emulator:
        path = job_file(tmp_path, emulator)
    text = "\n".join(line for line in (tmp_path / "job.toml").read_text().splitlines() if "_url" not in line)
    (tmp_path / "job.toml").write_text(text)
    result = CliRunner().invoke(app, ["doctor", path])

    assert result.exit_code == 4
    assert "no AWS credentials" in result.stderr


def test_a_wrong_job_is_exit_2(tmp_path):
    with account() as emulator:
        result = CliRunner().invoke(app, ["doctor", job_file(tmp_path, emulator, 'routing.residency = "eu"')])

    assert result.exit_code == 2
    assert "no legal lane" in result.stderr
