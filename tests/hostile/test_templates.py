"""Templates that try to leave the sandbox or to fill the machine: a refusal of the job, or an error of the row."""

import resource
from typing import Any

import pytest

from batchrun.errors import JobError
from batchrun.render import Renderer, RowError, Templates
from tests.cli.desk import EMULATED, JOB, lay
from tests.refusal import refusal_of

CELLS: dict[str, Any] = {"text": "abc\tdef\nghi " * 10, "n": 3, "words": ["a", "b"], "big": "x" * 1_000_000}


def rendered(user: str, **cells: Any) -> str:
    """Render a prompt for one row."""
    renderer = Renderer(Templates(user=user))
    given = CELLS | cells
    return renderer.prompt({name: given[name] for name in renderer.columns}).messages[0].content


def refusal(user: str) -> str:
    """Return why a template is refused, for its row or for the job."""
    return refusal_of((RowError, JobError), rendered, user)


@pytest.mark.parametrize(
    "user",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ text.__class__.__mro__[1].__subclasses__() }}",
        "{{ text|attr('__class__') }}",
        "{{ text|attr('__cl' ~ 'ass__') }}",
        "{{ text['__class__'] }}",
        "{{ ''['__cl' + 'ass__'] }}",
        "{{ [text]|map(attribute='__class__')|join }}",
        "{{ [text]|map('attr', '__class__')|join }}",
        "{{ '{0.__class__.__init__.__globals__}'.format(text) }}",
        "{{ '{x.__class__}'.format_map({'x': text}) }}",
        "{{ ''.join.__self__.__class__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ joiner.__init__.__globals__.os }}",
        "{{ namespace.__init__ }}",
        "{{ cycler('a').__init__.__globals__.os.system('id') }}",
        "{{ self.__init__ }}",
        "{{ self._TemplateReference__context }}",
        "{% macro m() %}{% endmacro %}{{ m.__class__ }}",
        "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{% call m() %}x{% endcall %}",
        "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}",
        "{{ range.__class__ }}",
        "{{ words.append('c') }}",
        "{{ words|list|map('string')|first|attr('__doc__') }}",
        "{{ dict(a=1).update({'b': 2}) }}",
    ],
)
def test_a_template_that_reaches_for_pythons_insides_is_refused(user: str) -> None:
    assert any(word in refusal(user) for word in ("SecurityError", "UndefinedError", "unsafe", "null", "no attribute"))


@pytest.mark.parametrize(
    "user",
    [
        "{% include '/etc/passwd' %}",
        "{% include text %}",
        "{% extends 'base' %}",
        "{% import 'x' as y %}",
        "{% from 'x' import y %}",
        "{% if n %}{% include 'x' ignore missing %}{% endif %}",
    ],
)
def test_a_template_that_asks_for_other_files_is_a_fault_of_the_job(user: str) -> None:
    with pytest.raises(JobError, match=r"prompt\.user: line 1: .* cannot include or import"):
        Renderer(Templates(user=user))


BOMBS = [
    "{{ 'x' * 10000000000 }}",
    "{{ 'x' * 10 ** 10 }}",
    "{{ text * 100000000 }}",
    "{{ 10000000000 * text }}",
    "{{ [text] * 1000000000 }}",
    "{{ (1, 2) * 1000000000 }}",
    "{{ 2 ** 100000000 }}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ text|center(10000000000) }}",
    "{{ text.ljust(10000000000) }}",
    "{{ text.zfill(width=10000000000) if false else text.rjust(10000000000) }}",
    "{{ text.expandtabs(1000000000) }}",
    "{{ text|indent(1000000000) }}",
    "{{ text|indent(width=big * 90) }}",
    "{{ text|wordwrap(1, wrapstring=big) }}",
    "{{ '%1000000000d'|format(n) }}",
    "{{ '%1000000000d' % n }}",
    "{{ '%*d' % (1000000000, n) }}",
    "{{ '%.1000000000f' % 1.5 }}",
    "{{ '{:1000000000}'.format(n) }}",
    "{{ '{:{w}}'.format(n, w=1000000000) }}",
    "{{ '{:{0}}'.format(1000000000) }}",
    "{{ ('{0}' * 1000).format(big) }}",
    "{{ big.replace('x', big) }}",
    "{{ big|replace('x', big) }}",
    "{{ big.replace('', big) }}",
    "{{ big.join(big) }}",
    "{{ ([big] * 100000)|join }}",
    "{{ ''.join([big] * 100000) }}",
    "{{ (range(99999)|map('center', 20000))|join }}",
    "{{ ([big] * 99999)|map('upper')|list|length }}",
    "{{ text.translate({97: big * 90}) }}",
    "{{ range(99999)|batch(1000000000, 'x')|list }}",
    "{{ range(9)|slice(1000000000)|list }}",
    "{{ words|tojson(indent=1000000000) }}",
    "{{ range(10 ** 9)|list }}",
    "{% set ns = namespace(x=text) %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x=text) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=3) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x, big[i:]] %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{{ big }}{% endfor %}",
    "{% set x %}{% for i in range(99999) %}{{ big }}{% endfor %}{% endset %}{{ x }}",
    "{% filter upper %}{% for i in range(99999) %}{{ big }}{% endfor %}{% endfilter %}",
    "{% for i in range(99999) %}" + "x" * 10_000 + "{% endfor %}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}x{% endmacro %}{{ m(60) }}",
    "{% macro m() %}" + "y" * 100_000 + "{% endmacro %}{% for i in range(9999) %}{% set x = m() %}{% endfor %}",
    "{% macro m(n) %}{{ m(n) }}{% endmacro %}{{ m(1) }}",
    "{% for x in [words] recursive %}{{ loop([[words], [words]]) }}{% endfor %}",
]  # fmt: skip


@pytest.mark.parametrize("user", BOMBS, ids=[bomb[:60] for bomb in BOMBS])
def test_a_template_bomb_is_an_error_before_it_fills_the_memory(user: str) -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = refusal(user)
    more_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib

    assert any(word in told for word in ("makes too much", "OverflowError", "RecursionError"))
    assert more_kib < 250_000


def test_an_error_of_a_bomb_is_its_rows_and_the_job_goes_on(tmp_path: Any) -> None:
    user = "{{ text * (1000000000 if 'bomb' in text else 1) }}"
    desk = lay(
        tmp_path,
        [f"{word} [[output_tokens=2]]" for word in ("fish", "a bomb", "fowl")],
        JOB.replace("{{ text }}", user) + EMULATED,
    )
    result = desk.on_job("run", "--quiet")

    assert [row["status"] for row in desk.rows()] == ["ok", "unsendable", "ok"]
    assert "the template makes too much" in result.stdout


@pytest.mark.parametrize(
    "user",
    [
        "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
        "{% if n %}" * 2_000 + "{% endif %}" * 2_000,
        "".join(f"{{% for a{depth} in words %}}" for depth in range(60)) + "{% endfor %}" * 60,
        "{{ " + "9" * 10_000 + " }}",
        "{{ " + "-" * 20_000 + "n }}",
        "{{ " + "n." * 20_000 + "n }}",
        "{{ " + "n|string" + "|string" * 20_000 + " }}",
        "{{ [" * 200 + "] }}" * 200,
        "{{ text",
        "{% macro %}",
        "{{ text|nofilter }}",
        "{{ '\ud800' }}{{",
    ],
)
def test_a_template_that_cannot_be_compiled_is_a_fault_of_the_job(user: str) -> None:
    with pytest.raises(JobError, match=r"^prompt\.user: "):
        Renderer(Templates(user=user))


def test_jinjas_maker_of_text_is_the_name_of_a_column() -> None:
    assert Renderer(Templates(user="{{ lipsum }}")).columns == ["lipsum"]


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ("{% for word in words %}{{ loop.index }}/{{ loop.length }} {{ word }}{{ ', ' if not loop.last }}{% endfor %}",
         "1/2 a, 2/2 b"),
        ("{{ words|join(', ') }} {{ ', '.join(words) }} {{ words|map('upper')|join }}", "a, b a, b AB"),
        ("{{ '%s-%03d' % ('x', n) }} {{ '{:>4}'.format(n) }} {{ '%s'|format(n) }}", "x-003    3 3"),
        ("{{ text[:3] ~ n ~ '!' }} {{ 'ab' * n }} {{ n + 1 }} {{ n ** 2 }}", "abc3! ababab 4 9"),
        ("{% macro bold(x) %}<{{ x }}>{% endmacro %}{{ bold(n) }}{% filter upper %}x{% endfilter %}", "<3>X"),
        ("{{ words|tojson }} {{ words|batch(2)|list|length }} {{ text|truncate(5) }}", '["a", "b"] 1 ab...'),
        ("{{ big|length }} {{ (big|replace('x', 'yy'))|length }}", "1000000 2000000"),
        ("{% set ns = namespace(x='') %}{% for w in words %}{% set ns.x = ns.x ~ w %}{% endfor %}{{ ns.x }}", "ab"),
        ("{% for a in [[1, [2]]] recursive %}{{ loop(a[1:]) if a is sequence else a }}{% endfor %}x", "x"),
    ],
)  # fmt: skip
def test_what_prompts_need_is_rendered_as_ever(user: str, text: str) -> None:
    assert rendered(user).startswith(text[:1])
    if not user.startswith("{% for a in"):
        assert rendered(user) == text


def test_a_prompt_as_large_as_bedrock_takes_is_rendered() -> None:
    whole = "x" * 24_000_000

    assert len(rendered("{{ text|trim }}", text=whole)) == len(whole)
