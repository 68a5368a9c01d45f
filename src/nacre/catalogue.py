"""The catalogue: every public model that nacre knows, what it is for, where its weights are and under which licence.

One table of rows. Addresses are those that the projects themselves give; sizes and hashes stand here only where the
projects published them, so most rows have none. (Hugging Face states a hash with each download; that is checked.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from .downloads import Remote

NON_COMMERCIAL = "CC-BY-NC"  # how the licence of weights begins that may not be used commercially


@dataclass(frozen=True)
class Model:
    """One row of the catalogue."""

    name: str
    summary: str
    sample_rate: int  # Hz
    kbps: tuple[float, float]  # with one level, and with all
    files: tuple[Remote, ...] = ()  # several make a folder; none: bundled, or no address is known
    members: tuple[str, ...] = ()  # of the zip archive that `files` is: these are the weights
    preset: str | None = ""  # what the converter calls the architecture; "" is `name`, None: the files say it
    code: str = "MIT"  # licence of the original's code
    licence: str = "MIT"  # of the weights
    home: str = ""  # page of the project
    converter: str = ""  # what reads the files, a function under `converters/`: "from_dac.load_dac"
    lone: str = ""  # what reads a single file instead, where the files make a folder of another kind
    store: str = ""  # folder in the cache where models share a download; "" is `name`
    note: str = ""  # a sentence to know before use
    kind: Literal["codec", "decoder", "language model"] = "codec"  # a decoder takes another codec's codes
    runtime: Literal["torch", "litert"] = "torch"  # what runs the weights as they were published

    @property
    def bundled(self) -> bool:
        """True for what comes with the package."""
        return not self.converter

    @property
    def size(self) -> int | None:
        """Bytes to download, None when they are not known."""
        sizes = [file.size for file in self.files]
        return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None


def _meta(name: str) -> tuple[Remote, ...]:
    """A file of EnCodec's; its name ends in the first digits of its hash."""
    return (Remote(f"https://dl.fbaipublicfiles.com/encodec/v0/{name}", sha256=name[-11:-3]),)


def _release(path: str) -> tuple[Remote, ...]:
    return (Remote(f"https://github.com/descriptinc/descript-audio-codec/releases/download/{path}"),)


def _hub(repository: str, *names: str) -> tuple[Remote, ...]:
    return tuple(Remote(f"https://huggingface.co/{repository}/resolve/main/{name}") for name in names)


def _graphs(stem: str, levels: int) -> tuple[Remote, ...]:
    """HILCodec's graphs, in its repository."""
    parts = ("enc", "dec", *(f"deq{k}" for k in range(levels)))
    return tuple(Remote(f"https://github.com/aask1357/hilcodec/raw/HEAD/onnx/{stem}_{part}.onnx") for part in parts)


def _lyra(*names: str) -> tuple[Remote, ...]:
    base = "https://raw.githubusercontent.com/google/lyra/main/lyra/model_coeffs"
    return tuple(Remote(f"{base}/{name}") for name in names)


def _steps(autoencoder: str, vocoder: str = "") -> tuple[str, ...]:
    """Checkpoints in AudioDec's archive: the autoencoder's, then the vocoder's where there is one."""
    places = (f"autoencoder/{autoencoder}", f"vocoder/AudioDec_{vocoder}" if vocoder else "")
    return tuple(f"exp/{place}steps.pkl" for place in places if place)


_Github = "https://github.com/"
_BIN, _SAFE = ("config.json", "pytorch_model.bin"), ("config.json", "model.safetensors")
_ASK = "the repository has no licence file, and an early readme allowed research only: ask before other use"
_GRAPHS = "published as ONNX graphs, which are read into torch; `--from` takes those or a checkpoint"

_Pearl = partial(Model, note="comes with the package and needs no torch")
_EnCodec = partial(
    Model, licence="not stated", home=_Github + "facebookresearch/encodec", converter="from_encodec.load_encodec"
)
_EncodecLM = partial(
    _EnCodec,
    converter="from_encodec_lm.load_encodec_lm",
    kind="language model",
    note="packs .ecdc files with --lm; such a file is read only on the machine that wrote it",
)
_Academic = partial(
    Model, licence="MIT (readme)", home=_Github + "yangdongchao/AcademiCodec", note=_ASK, code="MIT (readme)"
)
_DAC = partial(Model, home=_Github + "descriptinc/descript-audio-codec", converter="from_dac.load_dac", preset=None)
_SNAC = partial(Model, home=_Github + "hubertsiuzdak/snac", converter="from_snac.load_snac")
_HILCodec = partial(
    Model,
    home=_Github + "aask1357/hilcodec",
    converter="from_hilcodec_onnx.load_hilcodec_onnx",
    lone="from_hilcodec.load_hilcodec",
    note=_GRAPHS,
)
_AudioDec = partial(
    Model,
    files=(Remote(f"{_Github}facebookresearch/AudioDec/releases/download/pretrain_models_v02/exp.zip"),),
    code="CC-BY-NC 4.0",
    licence="CC-BY-NC 4.0",
    home=_Github + "facebookresearch/AudioDec",
    converter="from_audiodec.load_audiodec",
    store="audiodec",
    note="the archive holds all models of AudioDec and is downloaded once for all",
)
_WavTokenizer = partial(
    Model, home=_Github + "jishengpeng/WavTokenizer", converter="from_wavtokenizer.load_wavtokenizer"
)

# fmt: off
_MODELS = (
    _Pearl("pearl-24k", "speech, causal", 24_000, (0.68, 6.08)),

    _EnCodec("encodec-24k", "any sound, causal", 24_000, (0.75, 24.0), _meta("encodec_24khz-d7cc33bc.th")),
    _EnCodec("encodec-48k", "music in stereo", 48_000, (1.5, 24.0), _meta("encodec_48khz-7e698e3e.th")),
    _EnCodec("encodec-32k", "music, what MusicGen speaks", 32_000, (0.55, 2.2), _hub("facebook/encodec_32khz", *_SAFE),
             licence="CC-BY-NC 4.0", home=_Github + "facebookresearch/audiocraft"),
    _EnCodec("encodec-32k-hf", "the same, mirrored at the ends as transformers has it", 32_000, (0.55, 2.2),
             _hub("facebook/encodec_32khz", *_SAFE), licence="CC-BY-NC 4.0",
             home=_Github + "facebookresearch/audiocraft", store="encodec-32k"),

    _EncodecLM("encodec-lm-24k", "foretells codes of encodec-24k", 24_000, (0.0, 0.0),
               _meta("encodec_lm_24khz-1608e3c0.th")),
    _EncodecLM("encodec-lm-48k", "foretells codes of encodec-48k", 48_000, (0.0, 0.0),
               _meta("encodec_lm_48khz-7add9fc3.th")),

    _Academic("encodec-16k-320d", "speech, AcademiCodec's EnCodec", 16_000, (0.5, 12.0),
              _hub("Dongchao/AcademiCodec", "encodec_16khz_320d.pth"), converter="from_soundstream.load_soundstream"),
    _Academic("encodec-24k-240d", "speech, AcademiCodec's EnCodec", 24_000, (1.0, 12.0),
              _hub("Dongchao/AcademiCodec", "encodec_24khz_240d.pth"), converter="from_soundstream.load_soundstream"),
    _Academic("encodec-24k-32d", "speech, AcademiCodec's EnCodec", 24_000, (7.5, 15.0),
              _hub("Dongchao/AcademiCodec", "encodec_24khz_32d.pth"), converter="from_soundstream.load_soundstream"),
    _Academic("soundstream-24k-240d", "speech, AcademiCodec's SoundStream", 24_000, (1.0, 15.0),
              converter="from_soundstream.load_soundstream"),
    _Academic("soundstream-16k-320d", "speech, AcademiCodec's SoundStream", 16_000, (0.5, 12.0),
              converter="from_soundstream.load_soundstream"),
    _Academic("hificodec-16k-320d", "speech, four codes a frame", 16_000, (0.5, 2.0),
              _hub("Dongchao/AcademiCodec", "HiFi-Codec-16k-320d"), converter="from_hificodec.load_hificodec"),
    _Academic("hificodec-16k-320d-universal", "the same, trained on more", 16_000, (0.5, 2.0),
              _hub("Dongchao/AcademiCodec", "HiFi-Codec-16k-320d-large-universal"),
              converter="from_hificodec.load_hificodec", preset="hificodec-16k-320d"),
    _Academic("hificodec-24k-240d", "speech, four codes a frame", 24_000, (1.0, 4.0),
              _hub("Dongchao/AcademiCodec", "HiFi-Codec-24k-240d"), converter="from_hificodec.load_hificodec"),
    _Academic("hificodec-24k-320d", "speech, four codes a frame", 24_000, (0.75, 3.0),
              _hub("Dongchao/AcademiCodec", "HiFi-Codec-24k-320d"), converter="from_hificodec.load_hificodec"),

    _DAC("dac-16k", "any sound", 16_000, (0.5, 6.0), _release("0.0.5/weights_16khz.pth")),
    _DAC("dac-24k", "any sound", 24_000, (0.75, 24.0), _release("0.0.4/weights_24khz.pth")),
    _DAC("dac-44k", "any sound", 44_100, (0.86, 7.75), _release("0.0.1/weights.pth")),
    _DAC("dac-44k-16kbps", "any sound, finer", 44_100, (0.86, 15.5), _release("1.0.0/weights_44khz_16kbps.pth")),

    _SNAC("snac-24k", "speech", 24_000, (0.14, 0.984), _hub("hubertsiuzdak/snac_24khz", *_BIN)),
    _SNAC("snac-32k", "music", 32_000, (0.125, 1.875), _hub("hubertsiuzdak/snac_32khz", *_BIN)),
    _SNAC("snac-44k", "music", 44_100, (0.172, 2.584), _hub("hubertsiuzdak/snac_44khz", *_BIN)),
    _SNAC("snac-44k-early", "the first SNAC, any sound", 44_100, (0.15, 2.25), _hub("hubertsiuzdak/snac", *_BIN),
          note="its address is where the first model was; nothing says whether it still is"),

    Model("nac-2023", "speech and music, Tribhuvan University", 16_000, (0.5, 24.0), licence="not stated",
          converter="from_nac2023.load_nac2023", note="the weights are on a Google Drive; get them by hand"),
    _HILCodec("hilcodec-speech", "speech, causal", 24_000, (0.75, 6.0), _graphs("hil_speech", 8)),
    _HILCodec("hilcodec-music", "any sound, causal", 24_000, (0.75, 9.0), _graphs("hil_music", 12)),

    _AudioDec("audiodec-48k-sym", "speech, causal", 48_000, (1.6, 12.8),
              members=_steps("symAD_vctk_48000_hop300/checkpoint-700000")),
    _AudioDec("audiodec-48k-univ", "speech, causal, UnivNet's discriminators", 48_000, (1.6, 12.8),
              members=_steps("symADuniv_vctk_48000_hop300/checkpoint-1000000")),
    _AudioDec("audiodec-48k-activated", "speech, causal, with activations", 48_000, (1.6, 12.8),
              members=_steps("symAAD_vctk_48000_hop300/checkpoint-*")),
    _AudioDec("audiodec-48k-c16", "speech, causal, 16 levels", 48_000, (1.5, 24.0),
              members=_steps("symAD_c16_vctk_48000_hop320/checkpoint-*")),
    _AudioDec("audiodec-48k-v0", "speech, causal, vocoder of three kernels", 48_000, (1.6, 12.8),
              members=_steps("symAD_vctk_48000_hop300/checkpoint-200000",
                             "v0_symAD_vctk_48000_hop300_clean/checkpoint-500000")),
    _AudioDec("audiodec-48k-v1", "speech, causal, the vocoder that sounded best", 48_000, (1.6, 12.8),
              members=_steps("symAD_vctk_48000_hop300/checkpoint-200000",
                             "v1_symAD_vctk_48000_hop300_clean/checkpoint-500000")),
    _AudioDec("audiodec-48k-v2", "speech, causal, the fastest vocoder", 48_000, (1.6, 12.8),
              members=_steps("symAD_vctk_48000_hop300/checkpoint-200000",
                             "v2_symAD_vctk_48000_hop300_clean/checkpoint-500000")),
    _AudioDec("audiodec-48k-v3", "speech, causal, the vocoder of univ", 48_000, (1.6, 12.8),
              members=_steps("symADuniv_vctk_48000_hop300/checkpoint-500000",
                             "v3_symADuniv_vctk_48000_hop300_clean/checkpoint-500000")),
    _AudioDec("audiodec-24k-sym", "speech, causal", 24_000, (0.8, 6.4),
              members=_steps("symAD_libritts_24000_hop300/checkpoint-1000000")),
    _AudioDec("audiodec-24k-v1", "speech of any microphone, causal", 24_000, (0.8, 6.4),
              members=_steps("symAD_libritts_24000_hop300/checkpoint-500000",
                             "v1_symAD_libritts_24000_hop300_clean/checkpoint-500000")),

    Model("lyra-v2", "speech, causal, Google's own graphs", 16_000, (0.2, 9.2),
          _lyra("soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite", "lyra_config.binarypb"),
          code="Apache-2.0", licence="Apache-2.0", home=_Github + "google/lyra", converter="from_lyra.load_lyra",
          runtime="litert", note="needs no torch: pip install 'nacre[lyra]'; --from takes the folder model_coeffs"),
    Model("mimi-24k", "speech, causal, few tokens", 24_000, (0.138, 4.4), _hub("kyutai/mimi", *_SAFE),
          licence="CC-BY 4.0", home=_Github + "kyutai-labs/moshi", converter="from_mimi.load_mimi"),

    _WavTokenizer("wavtokenizer-75", "speech, one code a frame (small)", 24_000, (0.9, 0.9),
                  _hub("novateur/WavTokenizer", "WavTokenizer_small_320_24k_4096.ckpt")),
    _WavTokenizer("wavtokenizer-40", "speech, one code a frame (small)", 24_000, (0.48, 0.48),
                  _hub("novateur/WavTokenizer", "WavTokenizer_small_600_24k_4096.ckpt")),
    _WavTokenizer("wavtokenizer-75-speech", "speech of more speakers (large)", 24_000, (0.9, 0.9),
                  _hub("novateur/WavTokenizer-large-speech-75token", "wavtokenizer_large_speech_320_v2.ckpt"),
                  preset="wavtokenizer-75"),
    _WavTokenizer("wavtokenizer-75-music", "music and other sound (medium)", 24_000, (0.9, 0.9),
                  _hub("novateur/WavTokenizer-medium-music-audio-75token",
                       "wavtokenizer_medium_music_audio_320_24k_v2.ckpt"), preset="wavtokenizer-75"),
    _WavTokenizer("wavtokenizer-40-any", "any sound (large)", 24_000, (0.48, 0.48),
                  _hub("novateur/WavTokenizer-large-unify-40token", "wavtokenizer_large_unify_600_24k.ckpt"),
                  preset="wavtokenizer-40"),

    Model("vocos-encodec-24k", "speech, EnCodec's codes with another decoder", 24_000, (1.5, 12.0),
          _hub("charactr/vocos-encodec-24khz", "config.yaml", "pytorch_model.bin"),
          home=_Github + "charactr-platform/vocos", converter="from_vocos.load_vocos", kind="decoder",
          note="decodes files of encodec-24k at 1.5, 3, 6 and 12 kbps; it does not encode"),
)
# fmt: on
CATALOGUE: dict[str, Model] = {model.name: model for model in _MODELS}
UNPUBLISHED = {  # presets whose weights nobody has given out: they are there to be trained
    *("hac-v1.1", "hac-v1.2", "hac-v1.3", "hac-150", "soundstream-24k", "soundstream-24k-c16"),
    *("audiodec-48k-sym-free", "audiodec-48k-asym", "audiodec-24k-v0", "audiodec-24k-v2"),
}
