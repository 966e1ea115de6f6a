"""What GET /stats tells: calls, charges, and which prompts were paid more than once."""

from emulated_calls import begun, invoke, refused

from batchrun.emulator.books import PoolBook
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.service import Bedrock


def paid(bedrock, text, now_s=0.0, **changes):
    bedrock.finish(begun(bedrock, invoke(text, **changes), now_s), now_s)


def test_a_prompt_that_is_paid_twice_is_a_repeated_call():
    bedrock = Bedrock(EmulatorSpec())
    for text in ("one", "two", "two", "three", "three", "three"):
        paid(bedrock, text)

    stats = bedrock.books.stats()
    assert stats["calls_per_prompt"] == {"1": 1, "2": 1, "3": 1}
    assert (stats["paid_calls"], stats["prompts"], stats["repeated_calls"]) == (6, 3, 3)


def test_the_same_prompt_with_another_max_tokens_is_a_repeated_call():
    bedrock = Bedrock(EmulatorSpec())
    paid(bedrock, "one", max_tokens=100)
    paid(bedrock, "one", max_tokens=200)

    assert bedrock.books.stats()["repeated_calls"] == 1


def test_a_call_is_in_flight_until_it_is_finished():
    bedrock = Bedrock(EmulatorSpec())
    running = begun(bedrock, invoke())
    assert bedrock.books.stats()["in_flight"] == 1

    bedrock.finish(running, 1.0)

    stats = bedrock.books.stats()
    assert (stats["in_flight"], stats["answered"], stats["calls"]) == (0, 1, 1)


def test_each_pool_has_its_own_numbers():
    bedrock = Bedrock(EmulatorSpec(tpm=600))
    running = begun(bedrock, invoke("a [[output_tokens=100]]", max_tokens=500))
    refused(bedrock, invoke("b", max_tokens=500))
    bedrock.finish(running, 1.0)

    charge = running.prompt.input_tokens + 500
    assert bedrock.books.stats()["throttled"] == 1
    assert bedrock.books.stats()["pools"] == {
        "us-east-1/geo": {
            "calls": 2,
            "admitted": 1,
            "throttled": 1,
            "answered": 1,
            "settled_tokens": charge,
            "tenant_tokens": 0,
            "largest_hold_tokens": running.prompt.input_tokens + 500,
            "largest_minute_tokens": charge,
        }
    }


def test_the_largest_minute_is_any_sixty_seconds_not_a_calendar_minute():
    book = PoolBook()
    for second, tokens in ((0, 100), (50, 300), (70, 400), (200, 500)):
        book.settled(tokens, float(second))

    assert book.largest_minute_tokens == 700  # the 300 and the 400
    assert book.settled_tokens == 1_300


def test_what_the_checks_turn_away_is_counted_by_kind():
    bedrock = Bedrock(EmulatorSpec())
    refused(bedrock, invoke(max_tokens=0))

    assert bedrock.books.stats()["refused"] == {"ValidationException": 1}
