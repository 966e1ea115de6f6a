"""Bedrock without HTTP: checks, meters, chaos and answers, on whatever clock the caller has.

`begin` admits or refuses a call, `finish` settles it after `wait_s`; who drives them decides how time passes.
"""

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from batchrun.bedrock.card import Card, Prices, load_card
from batchrun.emulator.accounts import Accounts
from batchrun.emulator.address import (
    BAD_IDENTIFIER,
    Operation,
    call_region,
    for_mantle,
    read_path,
    resolve,
    resolve_mantle,
)
from batchrun.emulator.answer import Answer, blocked_answer, make_answer
from batchrun.emulator.asked import Service, read_service
from batchrun.emulator.books import Bill, Books
from batchrun.emulator.caches import NO_USE, Caches, CacheUse
from batchrun.emulator.chaos import Chaos
from batchrun.emulator.checks import MALFORMED, check_invoke, check_messages, known_only, read_json
from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.converse import COUNTED_FIELDS, check_converse
from batchrun.emulator.directives import Directives, read_directives
from batchrun.emulator.faults import FAULTS, Fault, RefusedError, invalid
from batchrun.emulator.pools import Pool, Reservation, charge_tokens, make_pools
from batchrun.emulator.prompt import Prompt
from batchrun.emulator.reply import Reply, answer_reply, damaged, error_reply

_SLOW = 10  # times the latency


@dataclass(frozen=True, slots=True)
class Call:
    """One POST as it arrived; header names in any case if `headers` is case-insensitive."""

    raw_path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Running:
    """An admitted call that the model works on for `wait_s`; it must be given to `finish`."""

    operation: Operation
    prompt: Prompt
    service: Service
    answer: Answer
    pool: Pool
    prices: Prices
    reservation: Reservation
    cached: CacheUse
    fault: Fault | None
    wait_s: float


class Bedrock:
    """The service: pools, books and chaos of one account."""

    def __init__(self, spec: EmulatorSpec, card: Card | None = None) -> None:
        self.spec = spec
        self.card = card or load_card()
        self.pools = make_pools(spec, self.card)
        self.books = Books()
        self.accounts = Accounts(spec)
        self._chaos = Chaos(spec)
        least_tokens = self.card.facts["caching"]["min_tokens_per_checkpoint"]
        self._caches = Caches(least_tokens, spec.cache_miss, spec.seed)
        self._model = self.card.base_model_id.removeprefix("anthropic.").rpartition("-v")[0]

    def __repr__(self) -> str:
        return f"Bedrock({self.card.name!r}, {self.books!r}, {self._chaos!r})"

    def begin(self, call: Call, now_s: float) -> Reply | Running:
        """Return the reply of a call that ends at once, or the call that goes on."""
        self.books.calls += 1
        path = read_path(call.raw_path)
        operation = path.operation if path is not None else "invoke"
        try:
            if path is None:
                raise RefusedError(_UNKNOWN_OPERATION)
            region = call_region(path, call.headers)
            outage = self._chaos.outage(region, now_s)
            if outage is not None and outage.stage != "wire":
                return self._fault_reply(outage, operation)
            fields = read_json(call.body, self.card)
            model_id = path.model_id or str(fields.get("model"))
            if operation == "messages" and "anthropic-version" not in call.headers:
                raise invalid("anthropic-version: header is required")
            account = self.accounts.of(call.headers)
            if for_mantle(path, call.headers, model_id, self.card):
                pool_name: str | None = resolve_mantle(model_id, region, self.card)
                if "output_config" in fields:
                    raise invalid("output_config: Extra inputs are not permitted")  # the card of mantle has none
            else:
                pool_name = resolve(self._copied(model_id, region, account), region, operation, self.card)
            if pool_name is None:
                return self._count(fields)
            prompt = self._read_prompt(operation, fields)
            service = read_service(call.headers, fields if operation == "converse" else {}, self.card)
        except RefusedError as refusal:
            self.books.refused[refusal.fault.kind] += 1
            return error_reply(refusal.fault, refusal.message, operation)
        return self._enter(operation, prompt, service, self.accounts.pool(account, pool_name), outage, now_s)

    def finish(self, running: Running, now_s: float) -> Reply:
        """Settle a call whose time is over, and return its reply."""
        self.books.finished += 1
        prompt, answer, fault = running.prompt, running.answer, running.fault
        book = self.books.pool(running.pool.name)
        if fault is not None and fault.stage == "model":
            running.pool.settle(running.reservation, 0, now_s)
            return error_reply(fault, fault.message, running.operation)
        cached = running.cached
        uncached_tokens = prompt.input_tokens - cached.read - cached.write
        name = running.pool.name
        charge = charge_tokens(self.card, uncached_tokens, answer.output_tokens, cached.write, pool=name)
        running.pool.settle(running.reservation, charge, now_s)
        book.settled(charge, now_s)
        self.books.paid(prompt.digest, Bill(uncached_tokens, answer.output_tokens, cached), running.prices)
        latency_ms = round(running.wait_s * 1000)
        reply = answer_reply(running.operation, prompt, answer, running.service, self._model, latency_ms, cached)
        if fault is None or fault.kind == "slow":
            self.books.answered += 1
            book.answered += 1
            return reply
        return damaged(reply, fault.kind)

    def _enter(
        self, operation: Operation, prompt: Prompt, service: Service, lane: str, outage: Fault | None, now_s: float
    ) -> Reply | Running:
        """Admit or refuse a call; `lane` names the pool of its Region and kind, which several may share."""
        pool = self.pools[lane]
        book = self.books.pool(pool.name)
        book.calls += 1
        max_tokens = prompt.max_tokens or self.card.max_output_tokens  # without max_tokens the limit is held
        hold = prompt.input_tokens + max_tokens
        refusal = pool.refusal(hold, now_s)
        book.tenant_tokens = round(pool.tenant_tokens)
        if refusal is not None:
            book.throttled += 1
            return error_reply(FAULTS["ThrottlingException"], refusal, operation)
        reservation = pool.admit(hold, now_s)
        directives = read_directives(prompt.last_user)
        fault = outage or self._chaos.fault(prompt.digest, directives)
        if fault is not None and fault.stage == "gate":
            pool.turn_back(reservation, now_s)
            return self._fault_reply(fault, operation)
        book.admitted += 1
        book.largest_hold_tokens = max(book.largest_hold_tokens, hold)
        if fault is not None:
            self.books.fault(fault)
        self.books.begun += 1
        self.books.asked(service)
        misfit = self._chaos.misfits(prompt.digest, directives)
        answer = make_answer(prompt, directives, max_tokens, self.card.context_tokens, misfit=misfit)
        if service.guardrail and directives.intervenes:
            answer = blocked_answer()
        wait_s = self._latency_s(answer, directives, fault)
        prices = self.card.prices[_price_class(lane, self.card)]
        cached = self._cached(lane, prompt, fault, now_s, wait_s)
        return Running(operation, prompt, service, answer, pool, prices, reservation, cached, fault, wait_s)

    def _cached(self, lane: str, prompt: Prompt, fault: Fault | None, now_s: float, wait_s: float) -> CacheUse:
        """Return what a call reads and writes; what it writes is there once its answer begins."""
        if not prompt.checkpoints:
            return NO_USE
        fails = fault is not None and fault.stage == "model"
        begins_at_s = inf if fails else now_s + min(wait_s, self.spec.latency_s)
        return self._caches.use(lane, prompt.checkpoints, now_s, begins_at_s)

    def _copied(self, model_id: str, region: str, account: str) -> str:
        """Return the inference ID that an application inference profile copies; any other ID as it is."""
        scope = self.spec.profiles.get(model_id)
        if scope is None:
            return model_id
        if model_id.split(":")[3:5] != [region, account]:
            raise invalid(BAD_IDENTIFIER)
        return self.card.scopes[scope].inference_id

    def _read_prompt(self, operation: Operation, fields: Mapping[str, Any], *, count_only: bool = False) -> Prompt:
        try:
            if operation == "converse":
                prompt = check_converse(fields, self.card)
            elif operation == "messages":
                prompt = check_messages(fields, self.card)
            else:
                prompt = check_invoke(fields, self.card, count_only=count_only)
        except (AttributeError, KeyError, TypeError, RecursionError):  # a field is of another shape than any that goes
            raise invalid(MALFORMED) from None
        if prompt.input_tokens > self.card.context_tokens and not count_only:
            told = f"prompt is too long: {prompt.input_tokens} tokens > {self.card.context_tokens} maximum"
            raise invalid(told if operation != "converse" else f"The model returned the following errors: {told}")
        return prompt

    def _count(self, fields: Mapping[str, Any]) -> Reply:
        known_only(fields, {"input"})
        wrapped = fields.get("input")
        if not isinstance(wrapped, dict) or len(wrapped) != 1:
            raise invalid(MALFORMED)
        if isinstance(wrapped.get("converse"), dict):
            known_only(wrapped["converse"], COUNTED_FIELDS)
            prompt = self._read_prompt("converse", wrapped["converse"], count_only=True)
        else:
            prompt = self._read_prompt("invoke", _wrapped_body(wrapped, self.card), count_only=True)
        self.books.counted += 1
        return Reply(200, json.dumps({"inputTokens": prompt.input_tokens}).encode())

    def _fault_reply(self, fault: Fault, operation: Operation) -> Reply:
        self.books.fault(fault)
        return error_reply(fault, fault.message, operation)

    def _latency_s(self, answer: Answer, directives: Directives, fault: Fault | None) -> float:
        latency_s = self.spec.latency_s + self.spec.latency_per_token_s * answer.output_tokens
        if directives.latency_s is not None:
            latency_s = directives.latency_s
        return latency_s * _SLOW if fault is not None and fault.kind == "slow" else latency_s


def _price_class(pool: str, card: Card) -> str:
    kind = pool.rpartition("/")[2]
    return next((one.price_class for one in card.scopes.values() if one.pool_kind == kind), "global")


def _wrapped_body(wrapped: Mapping[str, Any], card: Card) -> Mapping[str, Any]:
    try:
        known_only(wrapped["invokeModel"], {"body"})
        return read_json(b64decode(wrapped["invokeModel"]["body"], validate=True), card)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise invalid(MALFORMED) from None


_UNKNOWN_OPERATION = Fault("UnknownOperationException", "gate", 404, "UnknownOperationException", "Unknown operation")
