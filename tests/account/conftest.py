"""A cache of each test's own: what one reads, the next must not find. And time: a machine may be busy."""

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchrun.account.discover.ALL_S", 20.0)
    monkeypatch.setattr("batchrun.account.calls.CALL_S", 20.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
