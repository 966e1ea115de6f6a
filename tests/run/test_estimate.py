"""The estimate of a request's tokens: from its bytes, corrected by what Bedrock counts."""

from batchrun.bedrock.body import Sampling
from batchrun.records import Message, Prompt
from batchrun.requesting import FRAME_TOKENS, Requests


def of(text: str) -> Prompt:
    return Prompt(None, (Message("user", text),))


def test_english_is_taken_for_three_and_a_half_bytes_a_token_at_first():
    requests = Requests(Sampling(100), 25_000_000)

    assert requests.request(0, of("x" * 3_500)).input_tokens == 1_000 + FRAME_TOKENS


def test_the_estimate_follows_what_was_counted():
    requests = Requests(Sampling(100), 25_000_000)
    for row in range(300):
        requests.learn(requests.request(row, of("x" * 2_000)), 1_000 + FRAME_TOKENS)  # 2 bytes a token

    assert abs(requests.request(0, of("x" * 10_000)).input_tokens - 5_000) < 100


def test_short_rows_do_not_make_long_ones_look_small():
    # The braces and keys around a row of ten words are longer than the row.
    requests = Requests(Sampling(100), 25_000_000)
    for row in range(1_000):
        requests.learn(requests.request(row, of("x" * 35)), 10 + FRAME_TOKENS)

    assert abs(requests.request(0, of("x" * 35_000)).input_tokens - 10_000) < 500
