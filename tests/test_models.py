"""load: the bundled model by name, others downloaded once or from a file, and words for what is not there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from http_files import File, Server, serving
from small_dac import TINY, save_tiny
from small_dac import save_folder as save_hugging_face
from small_pearl import small_pearl

from nacre import DamagedError, InputError, MissingError, OnnxCodec, load, models, read
from nacre.catalogue import CATALOGUE, UNPUBLISHED, Model
from nacre.codecs import dac
from nacre.codecs.dac import DAC
from nacre.codecs.pearl import Pearl
from nacre.converters.from_dac import load_dac
from nacre.converters.to_folder import save_folder
from nacre.converters.to_onnx import export
from nacre.downloads import Patience, Remote

WEIGHTS = "/github.com/descriptinc/descript-audio-codec/releases/download/0.0.1/weights.pth"
WAVE = np.random.default_rng(0).normal(0, 0.1, (1, 1, 501)).astype(np.float32)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A mirror that has a narrow dac-44k, for a machine whose cache is empty."""
    monkeypatch.setitem(dac.PRESETS, "dac-44k", TINY)
    monkeypatch.setattr(models, "PATIENCE", Patience(stall=20, tries=2, pause=0.01))
    monkeypatch.setenv("NACRE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as server:
        monkeypatch.setenv("NACRE_MIRROR", server.address)
        server.put(WEIGHTS, save_tiny(tmp_path / "made.pth").read_bytes())
        yield server


def weights(server: Server) -> File:
    return server.files[WEIGHTS]


def test_the_default_model_is_bundled_and_small() -> None:
    codec = load()
    assert isinstance(codec, OnnxCodec)
    assert codec.info.name == models.DEFAULT
    assert sum(path.stat().st_size for path in codec.folder.iterdir()) < 8_000_000
    assert models.state(CATALOGUE[models.DEFAULT]) == "bundled"


def test_torch_and_onnx_say_the_same_of_real_speech() -> None:
    speech = read(models.SAMPLE, 24_000, 1).samples[:, :, :48_000]
    onnx, torch = load(), load(runtime="torch")
    assert isinstance(torch, Pearl)
    assert torch.info == onnx.info
    codes = onnx.encode(speech)
    assert torch.encode(speech) == codes
    assert np.abs(torch.decode(codes) - onnx.decode(codes)).max() < 1e-4


def test_a_folder_is_a_name_too(tmp_path: Path) -> None:
    export(small_pearl(), tmp_path)
    assert isinstance(load(str(tmp_path)), OnnxCodec)
    assert load(f"file:{tmp_path}").info.name == "small-pearl"
    assert isinstance(load(str(tmp_path), runtime="torch"), Pearl)
    assert load("pearl-24k", file=tmp_path).info.name == "small-pearl"


def test_a_name_brings_its_weights_once(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert models.state(CATALOGUE["dac-44k"]) == "download"
    codec = load("dac-44k")
    assert isinstance(codec, DAC) and codec.info.name == "dac-44k" and codec.config == TINY
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"nacre: dac-44k is downloaded once, of unknown size, from 127.0.0.1:{server.server_port}; "
        "licence of its weights: MIT"
    ]
    assert models.state(CATALOGUE["dac-44k"]) == "cached"
    again = load("dac-44k")
    assert again.info == codec.info and again.encode(WAVE) == codec.encode(WAVE)
    assert len(weights(server).asked) == 1
    assert capsys.readouterr().err == ""


def test_what_is_here_needs_no_network(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    load("dac-44k")
    monkeypatch.setenv("NACRE_MIRROR", "http://127.0.0.1:9")  # nobody listens there
    codec = load("dac-44k")
    assert models.Shelf()(codec.info).info == codec.info


def test_what_cannot_be_run_is_not_downloaded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    find = models.util.find_spec
    monkeypatch.setattr(models.util, "find_spec", lambda name: None if name == "torch" else find(name))
    with pytest.raises(MissingError, match=r"^dac-44k needs torch; pip install 'nacre\[torch\]'$"):
        load("dac-44k")
    assert weights(server).asked == []


def test_a_licence_without_commerce_is_said_before(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        MissingError, match=r"^audiodec-48k-v1: 127.0.0.1:\d+ does not give exp.zip: .*HTTP 404.*--from"
    ):
        models.download(CATALOGUE["audiodec-48k-v1"])
    assert "licence of its weights: CC-BY-NC 4.0, no commercial use\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (
            {"statuses": [404]},
            MissingError,
            r"dac-44k: 127.0.0.1:\d+ does not give weights.pth: it is not there .*file=F",
        ),
        ({"data": b"PK\3\4"}, DamagedError, r"weights.pth"),
        ({"kind": "text/html"}, MissingError, r"a web page instead of weights.pth"),
        ({"cuts": [99] * 9}, MissingError, r"99 bytes came|198 bytes came"),
    ],
)
def test_what_goes_wrong_on_the_way_is_a_sentence(
    server: Server, change: dict[str, object], error: type[Exception], sentence: str
) -> None:
    server.files[WEIGHTS] = replace(weights(server), **change)  # type: ignore[arg-type]
    with pytest.raises(error, match=sentence):
        load("dac-44k")


def test_a_file_stands_for_a_download(server: Server, tmp_path: Path) -> None:
    made = load("dac-44k", file=tmp_path / "made.pth")
    assert made.info.name == "dac-44k"
    shelf = models.Shelf("dac-44k", file=tmp_path / "made.pth")
    assert shelf(made.info) is shelf(made.info)
    assert weights(server).asked == [] and not (tmp_path / "cache").exists()
    with pytest.raises(MissingError, match=r"none.pth is not there; expected the weights of dac-44k"):
        load("dac-44k", file=tmp_path / "none.pth")
    with pytest.raises(InputError, match=r"made.pth holds dac-44k, not dac-16k; load it under that name"):
        load("dac-16k", file=tmp_path / "made.pth")


def test_a_file_with_its_published_name_says_what_it_is(server: Server, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "made.pth", tmp_path / "weights.pth")
    assert load(str(tmp_path / "weights.pth")).info.name == "dac-44k"
    with pytest.raises(InputError, match=r"made.pth does not say whose weights it holds; say it: --model NAME --from"):
        load(f"file:{tmp_path / 'made.pth'}")


def test_a_folder_of_hugging_face_says_what_it_is(server: Server, tmp_path: Path) -> None:
    save_hugging_face(tmp_path / "hf")
    codec = load(str(tmp_path / "hf"))
    assert isinstance(codec, DAC) and codec.info.name == "dac-44k"
    (tmp_path / "hf" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="hf does not say whose weights it holds"):
        load(str(tmp_path / "hf"))
    (tmp_path / "hf" / "config.json").write_text("[")
    with pytest.raises(DamagedError, match=r"config.json is no configuration of a model"):
        load(str(tmp_path / "hf"))


def test_several_files_make_a_folder(server: Server) -> None:
    names = [f"/huggingface.co/kyutai/mimi/resolve/main/{name}" for name in ("config.json", "model.safetensors")]
    for name in names:
        server.put(name, name.encode())
    folder = models.download(CATALOGUE["mimi-24k"])
    assert {path.name: path.read_text() for path in folder.iterdir()} == {name.split("/")[-1]: name for name in names}


def test_runtimes_that_cannot_be_are_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected runtime 'onnx' or 'torch', got 'tf'"):
        load(runtime="tf")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="dac-44k comes without ONNX graphs; load it with runtime='torch'"):
        load("dac-44k", "onnx", file=tmp_path / "made.pth")
    with pytest.raises(InputError, match="a codec runs on 1 to 256 threads, got 0"):
        load("dac-44k", threads=0)


def test_threads_are_torchs_only_where_they_are_named(server: Server, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        load("dac-44k")
        assert torch.get_num_threads() == 1
        load("dac-44k", threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_what_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no model 'perl-24k'; expected a name such as pearl-24k"):
        load("perl-24k")
    for ask in (load, models.find):
        with pytest.raises(InputError, match=r"nobody has published weights of hac-v1\.3; train it"):
            ask("hac-v1.3")
    with pytest.raises(MissingError, match="no address of nac-2023's weights is known; name a file that you have"):
        load("nac-2023")
    unread = Model("x", "", 1, (0, 0), (Remote("https://a.org/x"),), converter="from_nothing.load_nothing")
    monkeypatch.setitem(CATALOGUE, "x", unread)
    assert models.state(unread) == "no reader yet"
    with pytest.raises(MissingError, match="nacre knows x and cannot read its weights yet"):
        load("x")


def test_a_shelf_loads_each_codec_once() -> None:
    shelf = models.Shelf()
    info = load().info
    assert shelf(info) is shelf(info)
    assert models.Shelf("pearl-24k")(info).info == info


def test_a_file_does_not_say_which_folder_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(models.BUNDLED / "pearl-24k", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    mine = replace(load().info, name="mine")
    with pytest.raises(InputError, match=r"made by 'mine', .* name the folder of its model \(--model\)"):
        models.Shelf()(mine)
    assert models.Shelf("mine")(mine).info == load().info


def test_a_file_does_not_say_what_is_downloaded(server: Server) -> None:
    info = replace(load().info, name="dac-44k")
    with pytest.raises(InputError, match=r"made by dac-44k, which is not on this machine; .*--model dac-44k .*MIT"):
        models.Shelf()(info)
    assert weights(server).asked == []
    assert models.Shelf("dac-44k")(info).info.name == "dac-44k"  # a person named it
    assert models.Shelf()(info).info.name == "dac-44k"  # and now it is here


def test_an_export_without_graphs_loads_on_torch(tmp_path: Path) -> None:
    codec = load_dac(save_tiny(tmp_path / "made.pth"))
    save_folder(codec, tmp_path / "out")
    again = load(str(tmp_path / "out"))
    assert isinstance(again, DAC) and again.info == codec.info
    with pytest.raises(MissingError, match=r"no encoder.onnx"):
        load(str(tmp_path / "out"), runtime="onnx")


def test_a_file_without_the_name_of_its_model_is_not_taken_for_pearl(tmp_path: Path) -> None:
    made = save_tiny(tmp_path / "made.pth")
    with pytest.raises(InputError, match=r"made.pth is no pearl-24k, .*; say whose weights they are: --model"):
        load(file=made)


def test_weights_of_another_model_are_named_with_their_file(tmp_path: Path) -> None:
    torch.save({"encoder.a": torch.zeros(1)}, tmp_path / "odd.th")
    with pytest.raises(DamagedError, match=r"odd.th: these are not .* nac-2023: .* missing, .* unknown$"):
        load("nac-2023", file=tmp_path / "odd.th")


def test_what_was_trained_at_home_may_have_an_unpublished_name(tmp_path: Path) -> None:
    assert not UNPUBLISHED & CATALOGUE.keys()
    codec = load_dac(save_tiny(tmp_path / "made.pth"))
    save_folder(codec, tmp_path / "out")
    assert load("hac-v1.3", file=tmp_path / "out").info == codec.info  # a folder says itself whose it is


def test_the_sample_is_speech() -> None:
    sample = read(models.SAMPLE)
    assert 5 < sample.duration < 7
    assert 0.02 < float(np.sqrt(np.mean(sample.samples**2))) < 0.3
