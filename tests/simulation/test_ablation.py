"""What `make ablation` leaves out is there to be left out, and what is asked of it by a wrong name is answered."""

import sys

import pytest

from tests import ablation


@pytest.mark.parametrize(
    "path", sorted({path for variant in ablation.VARIANTS.values() for path, _ in variant.changes})
)
def test_every_part_that_a_variant_leaves_out_is_there(path):
    ablation.part(path)


@pytest.mark.parametrize("path", ["level.Level.no_such", "doubt.NO_SUCH", "mirror.Nobody.at", "minute.Minute.__ne__"])
def test_a_part_that_is_not_there_or_only_inherited_cannot_be_left_out(path):
    with pytest.raises(AttributeError):
        ablation.part(path)


def test_an_unknown_variant_is_refused_with_the_keys_that_there_are(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ablation", "--only", "as-it-is", "17"])
    with pytest.raises(SystemExit) as ended:
        ablation.main()

    assert ended.value.code == 2
    assert f"--only: no variant 17; there are {', '.join(ablation.VARIANTS)}\n" in capsys.readouterr().err
