"""Images over whole runs: from bytes, files and stores, checked before anything is sent, counted and bounded."""

import json

import pyarrow as pa
import pytest

from batchrun import places
from batchrun.emulator.service import Bedrock
from batchrun.errors import InputError
from batchrun.pipeline import IMAGE_READERS
from batchrun.planning import plan
from tests.emulated_transport import EmulatedTransport
from tests.pictures import GIF, JPEG, WEBP_LOSSY, png
from tests.run.rehearsal import job, rehearse


def looking(folder, photos, api="invoke", kind=None, **changes):
    table = pa.table({"text": ["What is this?"] * len(photos), "photo": pa.array(photos, kind)})
    return job(folder, table, prompt={"images": ["photo"]}, model={"api": api}, **changes)


@pytest.mark.parametrize("api", ["invoke", "converse"])
def test_images_of_every_kind_are_sent(tmp_path, api):
    ended = rehearse(looking(tmp_path, [png(), JPEG, GIF, WEBP_LOSSY], api))

    assert ended.summary["by_status"] == {"ok": 4}
    assert ended.stats["refused"] == {}
    assert ended.row(0)["input_tokens"] > ended.row(1)["input_tokens"]


def test_images_come_before_the_text_and_plan_shows_their_size_only(tmp_path):
    [request] = plan(looking(tmp_path, [png()]), show=1)["requests"]

    [message] = request["messages"]
    assert [block["type"] for block in message["content"]] == ["image", "text"]
    assert message["content"][0]["source"]["data"].endswith("characters of base64)")


def test_paths_belong_to_the_job_files_folder_and_urls_of_files_go_too(tmp_path):
    (tmp_path / "a b.png").write_bytes(png())

    ended = rehearse(looking(tmp_path, ["a b.png", str(tmp_path / "a b.png"), f"file://{tmp_path}/a%20b.png"]))

    assert ended.summary["by_status"] == {"ok": 3}


def test_a_list_gives_several_images(tmp_path):
    [request] = plan(looking(tmp_path, [[png(), GIF]]), show=1)["requests"]

    assert [block["type"] for block in request["messages"][0]["content"]] == ["image", "image", "text"]


@pytest.mark.parametrize(
    ("photo", "why"),
    [
        ("none.png", "is not there: no such file"),
        (".", "is no file"),
        ("https://example.org/a.png", "lies at https://: local paths, file:// and s3:// can be read"),
        ("rows.parquet", "is no image that Bedrock takes"),
        ("large.png", "has 4,000,000 bytes, Bedrock takes 3,750,000"),
        ("a\0b", "embedded null byte"),
        (None, "is null"),
        (b"BM", "is no image that Bedrock takes"),
        ([], None),
        ([GIF] * 21, "is one too many: Bedrock takes 20 images"),
        ([None], "is null"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_image_is_an_error_of_its_row_and_sends_nothing(tmp_path, photo, why):
    (tmp_path / "large.png").write_bytes(png() + bytes(4_000_000 - len(png())))
    kind = pa.string() if photo is None else pa.list_(pa.binary()) if isinstance(photo, list) else None

    ended = rehearse(looking(tmp_path, [photo], kind=kind))

    row = ended.row(0)
    if why is None:  # no image is none too few
        assert row["status"] == "ok"
        return
    assert (row["status"], row["error_code"], ended.calls) == ("unsendable", "RowError", 0)
    assert row["error_message"].startswith("column 'photo': the image ")
    assert why in row["error_message"]


def test_images_are_in_no_log_and_no_result(tmp_path):
    ended = rehearse(looking(tmp_path, [png()]))

    data = png()[40:60]
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or data not in path.read_bytes(), path
    assert ended.code == 0


def test_the_estimate_counts_images_by_their_pixels_and_not_their_bytes(tmp_path):
    ended = rehearse(looking(tmp_path, [png(1_000, 700)] * 8))

    assert abs(ended.summary["estimates"]["input_error_mean"]) < 0.05


def test_a_cost_cap_takes_an_image_for_its_tokens_and_not_its_bytes(tmp_path):
    noisy = png(50, 50) + bytes(1_000_000)  # a million bytes as text would be a dollar

    ended = rehearse(looking(tmp_path, [noisy], limits={"max_cost_usd": 0.01}))

    assert ended.summary["by_status"] == {"ok": 1}


def test_the_bytes_held_at_once_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "MOST_LIVE_BYTES", 2_000_000)
    seen = []

    class Weighing(EmulatedTransport):
        async def send(self, inference_id, source_region, request):
            self.held = getattr(self, "held", 0) + request.size_bytes
            seen.append(self.held)
            try:
                return await super().send(inference_id, source_region, request)
            finally:
                self.held -= request.size_bytes

    photo = png(20, 20) + bytes(150_000)  # 400,000 bytes in body and prompt
    spec = looking(
        tmp_path,
        [photo] * 60,
        quota={"tokens_per_minute": 10_000_000},
        emulator={"tpm": 10_000_000, "latency_s": 5},
        limits={"max_in_flight": 60},
    )

    ended = rehearse(spec, Weighing(Bedrock(spec.emulator)))

    assert ended.summary["by_status"] == {"ok": 60}
    # Each of the readers may have looked just before the bound was reached.
    assert max(seen) <= 2_000_000 + IMAGE_READERS * 410_000


def test_other_image_columns_are_another_job(tmp_path):
    rehearse(looking(tmp_path, [png()]))

    with pytest.raises(InputError, match=r"prompt\.images"):
        rehearse(job(tmp_path, pa.table({"text": ["What is this?"], "photo": [png()]})))


def test_a_missing_image_column_is_named_before_anything_is_sent(tmp_path):
    spec = job(tmp_path, ["Hi"], prompt={"images": ["photo"]})

    with pytest.raises(InputError, match="'photo'"):
        rehearse(spec)


# Conversations and tools

TOOL = {
    "name": "look_up",
    "description": "Looks a word up.",
    "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
}


def talking(folder, turns, api="invoke", tools=(TOOL,)):
    table = pa.table({"turns": [json.dumps(one) for one in turns]})
    prompt = {"user": None, "messages": "turns", "tools": list(tools)}
    return job(folder, table, prompt=prompt, model={"api": api})


def test_a_conversation_may_be_a_column_of_structs_with_images(tmp_path):
    image = {"type": "image", "text": None, "source": {"type": "base64", "media_type": "image/png", "data": png()}}
    text = {"type": "text", "text": "What is this?", "source": None}
    table = pa.table({"turns": [[{"role": "user", "content": [image, text]}]]})

    ended = rehearse(job(tmp_path, table, prompt={"user": None, "messages": "turns"}))

    assert ended.summary["by_status"] == {"ok": 1}
    assert ended.stats["refused"] == {}


@pytest.mark.parametrize("api", ["invoke", "converse"])
def test_a_tool_call_is_an_answer_in_a_column_of_its_own(tmp_path, api):
    turns = [
        [{"role": "user", "content": "What is a fell? [[tool=look_up]]"}],
        [{"role": "user", "content": "What is a beck? [[tool=look_up]] [[text=I look it up.]]"}],
        [{"role": "user", "content": "What is a tarn?"}],
    ]

    rows = rehearse(talking(tmp_path, turns, api)).rows()

    assert [row["status"] for row in rows] == ["ok"] * 3
    assert [row["stop_reason"] for row in rows] == ["tool_use", "tool_use", "end_turn"]
    assert [row["text"] for row in rows[:2]] == ["", "I look it up."]
    [call] = json.loads(rows[0]["tool_calls"])
    assert call["name"] == "look_up"
    assert call["input"].keys() == {"word"}
    assert call["id"]
    assert rows[2]["tool_calls"] is None


@pytest.mark.parametrize("api", ["invoke", "converse"])
def test_a_conversation_with_tool_calls_and_their_results_goes_on(tmp_path, api):
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "a hill", "is_error": False}
    failed = {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "?"}], "is_error": True}
    turns = [
        {"role": "user", "content": "What are a fell and a beck?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look them up."},
                {"type": "tool_use", "id": "t1", "name": "look_up", "input": {"word": "fell"}},
                {"type": "tool_use", "id": "t2", "name": "look_up", "input": '{"word": "beck"}'},
            ],
        },
        {"role": "user", "content": [result, failed, {"type": "text", "text": "So?"}]},
    ]

    ended = rehearse(talking(tmp_path, [turns], api))

    assert ended.summary["by_status"] == {"ok": 1}
    assert ended.stats["refused"] == {}


def test_tool_calls_without_declared_tools_are_an_error_of_the_row(tmp_path):
    use = {"type": "tool_use", "id": "t1", "name": "look_up", "input": {}}
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [use]}]

    row = rehearse(talking(tmp_path, [turns], tools=())).row(0)

    assert row["status"] == "unsendable"
    assert row["error_message"] == "column 'turns' has tool calls: declare the tools in prompt.tools"
    assert "tool_calls" not in row


def test_a_begun_answer_does_not_go_with_a_schema(tmp_path):
    table = pa.table(
        {"turns": [json.dumps([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "{"}])]}
    )
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    told = {"max_tokens": 100, "schema": schema}

    ended = rehearse(job(tmp_path, table, prompt={"user": None, "messages": "turns"}, generation=told))

    assert ended.row(0)["status"] == "unsendable"
    assert "begins the answer" in ended.row(0)["error_message"]
