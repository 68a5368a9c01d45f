from __future__ import annotations

from dataclasses import replace

import pytest
from small_campaign import measured
from small_pearl import small_pearl

from nacre import load
from nacre.evaluation import timing
from nacre.evaluation.timing import parameters, time_all

for package in ("pystoi", "av"):
    pytest.importorskip(package)


def test_parameters_of_graphs_and_of_torch_are_counted() -> None:
    torch_codec = small_pearl()
    assert parameters(torch_codec) == sum(p.numel() for p in torch_codec.parameters())
    assert 3e6 < (parameters(load()) or 0) < 5e6
    assert parameters(object()) is None


def test_each_codec_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured()
    timings = time_all(found)
    ours, theirs = timings["pearl-24k"], timings["Opus"]
    assert ours.encode and ours.decode and ours.cold_start
    assert ours.both == pytest.approx(1 / (1 / ours.encode + 1 / ours.decode))
    assert 0 < (ours.latency_p50 or 0) <= (ours.latency_p95 or 0) <= (ours.latency_p99 or 0)
    assert ours.seconds == pytest.approx(3.6) and ours.frame == pytest.approx(320 / 24000)
    assert (ours.memory or 3e7) > 2e7
    assert theirs.both > 1 and theirs.encode is None
    monkeypatch.setattr(timing, "work", lambda *arguments: pytest.fail("timed again"))
    assert time_all(found) == timings
    assert time_all(replace(found, entrants=[])) == {}
