from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from small_campaign import measured
from small_pearl import small_pearl

from nacre import load
from nacre.evaluation import timing
from nacre.evaluation.timing import Timing, Trial, parameters, time_all

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
    if sys.platform == "linux":  # elsewhere nobody tells
        assert 2e7 < (ours.memory or 0) < 8e9 and 2e7 < (theirs.memory or 0) < 8e9
    assert 1e8 < (ours.encode_work or 0) < (ours.decode_work or 0) < 3e8 and theirs.decode_work is None
    assert theirs.both > 0 and theirs.encode is None
    monkeypatch.setattr(timing, "work", lambda *arguments: pytest.fail("timed again"))
    assert time_all(found) == timings
    assert time_all(replace(found, entrants=[])) == {}


def test_what_an_older_nacre_timed_is_timed_again(tmp_path: Path) -> None:
    place = tmp_path / "speed.json"
    trial = Trial("pearl-24k", "pearl-24k", 3000, ("a.wav",))
    found = Timing("pearl-24k", 3.6, 10.0)
    told = asdict(found) | {"paths": ["a.wav"], "bitrate": 3000}
    place.write_text(json.dumps(told))
    assert timing._known(place, trial) == found
    del told["encode_work"]
    place.write_text(json.dumps(told))
    assert timing._known(place, trial) is None
