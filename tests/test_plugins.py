from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from speech import RATE, noisy, speech

from nacre.errors import InputError, MissingError
from nacre.evaluation.plugins import edits, find_metric, with_digest

onnx = pytest.importorskip("onnx")
helper = onnx.helper


def graph(path: Path, nodes: list[object], rank: int, constants: dict[str, np.ndarray] = {}) -> str:  # noqa: B006
    """A graph from `wave` [1, T] to `said`."""
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("wave", 1, [1, None])],
        [helper.make_tensor_value_info("said", 1, [None] * rank)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


def test_an_opinion_is_of_the_estimate_at_16_khz(tmp_path: Path) -> None:
    place = graph(tmp_path / "m.onnx", [helper.make_node("ReduceMax", ["wave"], ["said"], keepdims=0)], 0)
    metric = find_metric(f"utmos={place}")
    assert (metric.name, metric.better) == ("UTMOS", "higher")
    ramp = np.full(2400, 0.25, np.float32)
    assert metric.function(np.zeros(2400, np.float32), ramp, 16000) == pytest.approx(0.25)
    with pytest.raises(InputError, match="expected sound at 16000 Hz or more, got 8000 Hz"):
        metric.function(ramp, ramp, 8000)


def test_similar_voices_have_a_cosine_of_one(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceL2", ["wave"], ["r"], keepdims=1), helper.make_node("ReduceSum", ["wave"], ["s"])]
    nodes.append(helper.make_node("Concat", ["r", "s"], ["said"], axis=1))
    metric = find_metric("speaker=" + graph(tmp_path / "m.onnx", nodes, 2))
    assert metric.function(speech(), speech(), RATE) == pytest.approx(1)
    one, turned = np.ones(100, np.float32), np.tile([1, -1], 50).astype(np.float32)
    assert metric.function(one, turned, 16000) == pytest.approx(10 / np.sqrt(100 + 100**2), rel=1e-4)


def test_words_are_read_from_a_recogniser(tmp_path: Path) -> None:
    """It says the letter whose number the sample is: 0 blank, 1 a, 2 b, 3 the space."""
    nodes = [
        helper.make_node("Cast", ["wave"], ["whole"], to=7),
        helper.make_node("OneHot", ["whole", "depth", "values"], ["said"], axis=-1),
    ]
    constants = {"depth": np.array(4), "values": np.array([0.0, 1.0], np.float32)}
    place = graph(tmp_path / "m.onnx", nodes, 3, constants)
    metric = find_metric(f"wer={place}")
    said, heard = (
        np.array(row, np.float32) for row in ([1, 1, 2, 3, 1, 0, 1], [1, 2, 2, 3, 0, 1, 1])
    )  # "ab aa", "ab a"
    with pytest.raises(MissingError, match="should list the letters"):
        metric.function(said, heard, 16000)
    (tmp_path / "m.json").write_text(json.dumps(["", "a", "b", "|"]))
    assert metric.function(said, heard, 16000) == 0.5
    with pytest.raises(InputError, match="no words in the reference"):
        metric.function(np.zeros(7, np.float32), heard, 16000)


def test_edits_are_the_least() -> None:
    assert edits("kitten", "sitting") == 3
    assert (edits("", "abc"), edits("abc", ""), edits("abc", "abc")) == (3, 3, 0)


def test_a_function_of_the_users(tmp_path: Path) -> None:
    place = tmp_path / "mine.py"
    place.write_text("BETTER = 'lower'\nUNIT = 'cm'\ndef score(a, b, rate): return abs(a - b).max()\n")
    metric = find_metric(f"mine={place}")
    assert (metric.name, metric.better, metric.unit) == ("mine", "lower", "cm")
    assert metric.function(speech(), noisy(), RATE) > 0
    place.with_name("none.py").write_text("x = 1\n")
    with pytest.raises(InputError, match="has no function score"):
        find_metric(f"mine={place.with_name('none.py')}")


def test_the_content_is_part_of_the_name(tmp_path: Path) -> None:
    place = tmp_path / "mine.py"
    place.write_text("def score(a, b, rate): return 1\n")
    first = with_digest(f"mine={place}")
    assert find_metric(first).function(speech(), speech(), RATE) == 1
    place.write_text("def score(a, b, rate): return 2\n")
    assert with_digest(f"mine={place}") != first
    assert with_digest("stoi") == "stoi"


@pytest.mark.parametrize(
    ("name", "words"),
    [("pseq", "no metric 'pseq'; expected pesq_wb"), ("x=nowhere.onnx", "nowhere.onnx is not there")],
)
def test_what_is_no_metric_is_named(name: str, words: str) -> None:
    with pytest.raises((InputError, MissingError), match=words):
        find_metric(name)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("no graph")
    with pytest.raises(InputError, match="is no graph that ONNX Runtime can load"):
        find_metric(f"utmos={tmp_path / 'm.onnx'}").function(speech(), speech(), RATE)
    with pytest.raises(InputError, match="no plug-in 'mos' for a model; expected utmos, speaker, wer"):
        find_metric(f"mos={tmp_path / 'm.onnx'}")
