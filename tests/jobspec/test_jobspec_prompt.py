"""The prompt: one source for each part, files read with the job."""

import pytest


def test_a_prompt_file_counts_by_its_text(build, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "system.txt").write_text("Sei knapp – «kurz».", encoding="utf-8")
    (tmp_path / "p" / "user.j2").write_bytes(b"\xef\xbb\xbfSum up: {{ text }}")  # with a byte order mark

    spec = build(**{"prompt.system_file": "p/system.txt", "prompt.user_file": "p/user.j2", "prompt.user": ...})

    assert (spec.prompt.system, spec.prompt.user) == ("Sei knapp – «kurz».", "Sum up: {{ text }}")
    assert spec.prompt.system_file == tmp_path / "p" / "system.txt"
    same = build(**{"prompt.system": "Sei knapp – «kurz»."})
    assert spec.prompt.model_dump() == same.prompt.model_dump()  # moving a text into a file changes no identity


@pytest.mark.parametrize("key", ["system", "user"])
def test_a_prompt_file_that_cannot_be_used_says_why(refusal, tmp_path, key):
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "empty.txt").write_bytes(b"\n")
    reasons = {
        "none.txt": f"no such file: {tmp_path}/none.txt",
        "folder": f"is a folder, not a file: {tmp_path}/folder",
        "latin.txt": f"{tmp_path}/latin.txt is not UTF-8: byte 3 is 0xe9",
        "empty.txt": "must hold more than white space",
    }

    for name, reason in reasons.items():
        lines = refusal(**{f"prompt.{key}": ..., f"prompt.{key}_file": name})

        assert lines == [f'x.toml: prompt.{key}_file = "{name}": {reason}']


@pytest.mark.parametrize(
    "given",
    [
        {"prompt.user": "a", "prompt.user_file": "u.txt"},
        {"prompt.user": "a", "prompt.messages": "turns"},
        {"prompt.user": ..., "prompt.messages": "turns", "prompt.user_file": "u.txt"},
    ],
)
def test_the_user_prompt_has_one_source(refusal, tmp_path, given):
    (tmp_path / "u.txt").write_text("x")

    [line] = refusal(**given)

    assert line.endswith("give one of prompt.user, prompt.user_file and prompt.messages, not 2")


def test_the_system_prompt_has_one_source(refusal, tmp_path):
    (tmp_path / "s.txt").write_text("x")

    assert refusal(**{"prompt.system": "Be brief.", "prompt.system_file": "s.txt"}) == [
        "x.toml: prompt.system = (9 characters): give prompt.system or prompt.system_file, not both"
    ]


@pytest.mark.parametrize("key", ["prompt.system", "prompt.user", "prompt.prefill"])
def test_white_space_is_no_prompt(refusal, key):
    assert refusal(**{key: ""}) == [f"x.toml: {key} = (0 characters): must not be empty"]
    assert refusal(**{key: " \n"}) == [f"x.toml: {key} = (2 characters): must hold more than white space"]


def test_a_prefill_ends_in_no_white_space(build, refusal):
    assert build(**{"prompt.prefill": " {"}).prompt.prefill == " {"
    assert refusal(**{"prompt.prefill": "Answer: "}) == [
        (
            "x.toml: prompt.prefill = (8 characters): must not end in white space:"
            " Anthropic's API refuses such a start of the answer"
        )
    ]


def test_a_prompt_is_never_shown_in_a_message(refusal):
    lines = refusal(**{"prompt.user": "", "prompt.system": "the patient\n ", "prompt.prefill": "the patient "})

    assert not any("patient" in line for line in lines)
