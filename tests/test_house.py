"""The house keeps its own rules: floors, torch at the doors it may use, tests, words, sizes, a quick face."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nacre

SOURCE = Path(nacre.__file__).parent
TESTS = Path(__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text("utf-8")) for path in FILES}
IDS = [path.relative_to(SOURCE).as_posix() for path in FILES]

FLOORS = {
    "__init__": 9,  # the face: names only, each loaded when asked for
    "__main__": 8,
    "cli": 7,
    **dict.fromkeys(("training", "evaluation", "server", "corpus"), 6),  # wings
    **dict.fromkeys(("contents", "legacy_files"), 6),  # what files of codes hold; what files does, for earlier codecs
    **dict.fromkeys(("models", "files", "batch"), 5),  # names to codecs, sound files to .nac files, many at once
    **dict.fromkeys(("converters", "lyra"), 4),
    **dict.fromkeys(("codecs", "container", "onnx_runtime", "catalogue"), 3),
    **dict.fromkeys(("codes", "audio", "contract", "spectrogram", "downloads"), 2),
    **dict.fromkeys(("nn", "quantizers", "atomic", "opening"), 1),
    "errors": 0,
}
# the same floor, one way
NEIGHBOURS = {
    ("contract", "codes"),
    ("audio", "contract"),
    ("converters", "lyra"),
}
TORCH_ROOMS = {"nn", "quantizers", "codecs", "converters", "training"}
NEEDS_AN_EXTRA = {"evaluation", "server", "corpus"}
TORCH_FREE = FLOORS.keys() - TORCH_ROOMS - NEEDS_AN_EXTRA
NO_TEST_OF_ITS_OWN = {
    "__init__.py": "test_house.py",
    "__main__.py": "test_cli_verbs.py runs it",
    "errors.py": "every test of an error",
    "quantizers/base.py": "test_quantizers_contract.py, on every quantizer",
}


def room_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return parts[0]


def imports(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported: the module, and each name taken from a package."""
    package = ["nacre", *path.relative_to(SOURCE).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def upward(path: Path, tree: ast.AST) -> list[str]:
    """Imports that do not run down; the version may be read from anywhere."""
    here, wrong = room_of(path), []
    for line, name in imports(path, tree):
        parts = name.split(".")
        if parts[0] != "nacre" or name == "nacre.__version__":
            continue
        there = parts[1] if len(parts) > 1 and parts[1] in FLOORS else "__init__"
        if there != here and (here, there) not in NEIGHBOURS and FLOORS[there] >= FLOORS[here]:
            wrong.append(f"{path.relative_to(SOURCE)}:{line}: {here} may not import {name}")
    return wrong


def definitions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_imports_run_down_only(path: Path) -> None:
    assert room_of(path) in FLOORS, f"{path.name} lives on no floor; give it one in docs/architecture.md and here"
    assert upward(path, TREES[path]) == []


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("codes.py", "from .audio import read"),
        ("nn/conv.py", "def f():\n    from ..codes import Codes"),
        ("container/nac.py", "import nacre.codecs.dac"),
        ("container/nac.py", "from .. import codecs"),
        ("server/app.py", "from nacre.training import trainer"),
        ("quantizers/rvq.py", "from ..nn.conv import CausalConv1d"),
        ("models.py", "from nacre import load"),
    ],
)
def test_an_upward_import_is_caught(file: str, code: str) -> None:
    assert len(upward(SOURCE / file, ast.parse(code))) == 1


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("codecs/dac.py", "from ..nn.conv import CausalConv1d\nfrom .base import Codec\nimport torch"),
        ("contract.py", "from .codes import Codes\nfrom . import errors"),
        ("cli/verbs.py", "from .. import __version__\nfrom nacre import models"),
    ],
)
def test_a_downward_import_passes(file: str, code: str) -> None:
    assert upward(SOURCE / file, ast.parse(code)) == []


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_torch_stays_in_its_rooms(path: Path) -> None:
    torch = [line for line, name in imports(path, TREES[path]) if name.split(".")[0] in ("torch", "safetensors")]
    assert not torch or room_of(path) in TORCH_ROOMS, f"{path} imports torch at lines {torch}"


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_half_the_house_stands_without_torch() -> None:
    modules = [
        ".".join(["nacre", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__")
        for path in FILES
        if room_of(path) in TORCH_FREE
    ]
    assert {"nacre.codes", "nacre.contract"} <= set(modules)
    names = [name for name, room in nacre._ROOM_OF.items() if room.partition(".")[0] not in TORCH_ROOMS]
    run(
        "import importlib, sys\n"
        "sys.modules['torch'] = None  # from here on, `import torch` raises\n"
        f"for module in {modules!r}: importlib.import_module(module)\n"
        f"import nacre\nfor name in {names!r}: getattr(nacre, name)\n"
    )


def test_sound_goes_to_nac_and_back_without_torch(tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("in.wav", "coded.nac", "out.wav")]
    run(
        "import sys; sys.modules['torch'] = None\n"
        "import nacre, numpy as np\n"
        f"source, coded, back = {names!r}\n"
        "wave = np.random.default_rng(0).normal(0, 0.1, (1, 1, 24321)).astype(np.float32)\n"
        "nacre.write(source, wave, 24000)\n"
        "codec = nacre.load()\n"
        "nacre.encode_file(codec, source, coded)\n"
        "nacre.decode_file(codec, coded, back)\n"
        "assert nacre.read(back).samples.shape == wave.shape\n"
    )


def test_importing_nacre_loads_nothing_heavy() -> None:
    loaded = run("import nacre, sys; print(*sorted(sys.modules))").split()
    heavy = {"torch", "onnxruntime", "typer", "rich", "soundfile", "soxr", "constriction", "numpy"}
    assert "nacre" in loaded
    assert heavy.isdisjoint(loaded)


def test_the_face_offers_what_it_lists() -> None:
    assert set(nacre.__all__) == {*nacre._ROOM_OF, "__version__"}
    assert set(nacre.__all__) == set(dir(nacre))
    for name, room in nacre._ROOM_OF.items():
        assert getattr(nacre, name) is getattr(sys.modules[f"nacre.{room}"], name)
    with pytest.raises(AttributeError, match="no public name 'Codex'"):
        _ = nacre.Codex


def test_mypy_sees_the_face_that_python_sees() -> None:
    block = next(node for node in TREES[SOURCE / "__init__.py"].body if isinstance(node, ast.If))
    seen = {(node.module, alias.name) for node in block.body for alias in node.names}
    assert seen == {(room, name) for name, room in nacre._ROOM_OF.items()}


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "__init__.py"], ids=lambda path: path.stem)
def test_every_file_has_its_test_file(path: Path) -> None:
    if path.relative_to(SOURCE).as_posix() in NO_TEST_OF_ITS_OWN:
        return
    names = (f"test_{path.stem}.py", f"test_{room_of(path)}_{path.stem}.py")
    assert any((TESTS / name).exists() for name in names), f"{path} wants tests/{names[0]} or {names[1]}"


def classes_of(*trees: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}


CLASSES = classes_of(*TREES.values())


def inherited(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str]:
    """Methods of `node` that a class above it documents already; layers have `forward` from torch."""
    words: set[str] = set()
    for base in node.bases:
        name = ast.unparse(base).split("[")[0].split(".")[-1]
        if name in classes and name != node.name:
            above = classes[name]
            words |= {f.name for f in above.body if isinstance(f, ast.FunctionDef) and ast.get_docstring(f)}
            words |= inherited(above, classes)
        elif ast.unparse(base).startswith("nn."):
            words.add("forward")
    return words


def silent(tree: ast.Module) -> Iterator[str]:
    """Public functions, classes and methods without a docstring of their own or an inherited one."""
    classes = CLASSES | classes_of(tree)
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.ClassDef):
            spoken = inherited(node, classes)
            methods = (n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
            for method in methods:
                if not (method.name.startswith("_") or method.name in spoken or ast.get_docstring(method)):
                    yield f"{node.name}.{method.name}"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_every_public_name_is_documented(path: Path) -> None:
    if path.read_text("utf-8").strip():
        assert ast.get_docstring(TREES[path]), f"{path} says nothing about itself"
    assert list(silent(TREES[path])) == []


def test_a_silent_name_is_caught() -> None:
    layer = "class A(nn.Module):\n    '''A.'''\n    def forward(self): ...\n    def go(self): ..."
    child = "class B(A):\n    def go(self): ..."
    assert list(silent(ast.parse(layer))) == ["A.go"]
    assert list(silent(ast.parse(child))) == ["B", "B.go"]
    assert list(silent(ast.parse("def _f(): ...\ndef f(): ..."))) == ["f"]


def test_a_fulfilled_contract_needs_no_second_docstring() -> None:
    code = "class P(Quantizer):\n    '''P.'''\n    def decode(self): ...\n    def other(self): ..."
    assert list(silent(ast.parse(code))) == ["P.other"]


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_sizes_stay_readable(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 400
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in definitions(TREES[path])}
    assert {name: length for name, length in lengths.items() if length > 60} == {}
