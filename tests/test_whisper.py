"""What Whisper hears: nothing between equal waves, its own mel bands, gradients for the codec and none for itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import small_recipe

from nacre.errors import MissingError
from nacre.training.run import without_absent
from nacre.training.spectra import Pair
from nacre.training.terms import Terms
from nacre.training.whisper import WhisperLoss, resampled

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    sizes = {
        "d_model": 16,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "num_mel_bins": 80,
    }
    decoder = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32, "vocab_size": 20}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    config = transformers.WhisperConfig(**sizes, **decoder, **tokens)
    folder = tmp_path_factory.mktemp("whisper")
    transformers.WhisperModel(config).save_pretrained(folder)
    return str(folder)


def test_equal_waves_cost_nothing_and_others_can_be_mended(model: str) -> None:
    loss = WhisperLoss(24_000, model)
    target = torch.randn(2, 1, 12_000) * 0.1
    assert float(loss(Pair(target, target))) == 0
    output = (target + 0.05 * torch.randn_like(target)).requires_grad_()
    value = loss(Pair(target, output))
    value.backward()
    assert value > 0 and output.grad is not None and output.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in loss.parameters())
    assert not loss.train().encoder.training
    assert float(loss(Pair(target[..., :6000], target[..., :6000]))) == 0  # crops of another length


def test_mel_bands_are_whispers_own(model: str) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    extractor = transformers.WhisperFeatureExtractor()
    theirs = extractor(wave, sampling_rate=16_000, padding="do_not_pad", return_tensors="pt").input_features[0]
    ours = WhisperLoss(16_000, model)._mel(torch.from_numpy(wave)[None])[0]
    assert torch.allclose(ours, theirs[:, : ours.shape[-1]].float(), atol=2e-4)


def test_a_sine_stays_a_sine_at_another_rate() -> None:
    time = torch.arange(2400) / 24_000
    out = resampled(torch.sin(2 * torch.pi * 500 * time)[None], 24_000)
    assert out.shape == (1, 1600)
    assert torch.allclose(out[0], torch.sin(2 * torch.pi * 500 * torch.arange(1600) / 16_000), atol=1e-4)


def test_without_weights_the_recipe_says_so_and_goes_on(model: str, tmp_path: Path) -> None:
    wanted = small_recipe("weights.whisper=2.0", f"whisper={tmp_path}")
    recipe, (sentence,) = without_absent(wanted)
    assert recipe.weights.whisper == 0 and "left out: no weights of the Whisper" in sentence
    with pytest.raises(MissingError, match="--set whisper=FOLDER"):
        Terms(wanted, 24_000)
    here = small_recipe("weights.whisper=2.0", f"whisper={model}")
    assert without_absent(here) == (here, ())
    assert "whisper" in Terms(here, 24_000).losses
