"""priors: tables are whole numbers in files that are never replaced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from random_codes import DIGEST, HAC, PEARL, SNAC, random_codes

from nacre.codes import CodecInfo
from nacre.container import nac, priors
from nacre.errors import DamagedError, InputError, MissingError


def test_large_codebooks_are_modelled_by_their_upper_bits() -> None:
    assert [priors.symbols(size) for size in (2, 1000, 4096, 4097, 1 << 18, 1 << 20)] == [
        2,
        1000,
        4096,
        2049,
        4096,
        4096,
    ]
    assert [table.counts.size for table in priors.tables(HAC)] == [4096]
    assert priors.flat(1000).counts.tolist() == [64] * 1000
    assert priors.flat(1000).step == 641


def test_a_table_counts_what_was_heard_and_rules_nothing_out() -> None:
    codes = random_codes(HAC, 1, 500, calm=100)
    (table,) = priors.build([codes, codes], total=1 << 16)
    heard = np.bincount(codes.levels[0][0] >> 6, minlength=4096)
    assert table.counts.tolist() == (heard * 2 * 65536 // 1000 + 1).tolist()
    with pytest.raises(InputError):
        priors.build([])


def test_a_table_is_found_by_the_codec_and_read_by_its_number(tmp_path: Path) -> None:
    tables = priors.build([random_codes(SNAC, 3, 400)])
    assert priors.number_for(SNAC, tmp_path) == priors.FLAT
    priors.save(3, SNAC, tables, tmp_path)
    priors.save(2, SNAC, tables, tmp_path)
    assert priors.number_for(SNAC, tmp_path) == 3
    assert priors.number_for(PEARL, tmp_path) == priors.FLAT
    assert priors.number_for(CodecInfo("snac-24k", "ff", 24000, 1, 512, (4096,) * 3), tmp_path) == priors.FLAT
    for one, other in zip(priors.tables(SNAC, 3, tmp_path), tables, strict=True):
        assert np.array_equal(one.counts, other.counts)
        assert one.counts.dtype == np.int64
    with pytest.raises(InputError, match="next free number"):
        priors.save(3, SNAC, tables, tmp_path)
    with pytest.raises(MissingError, match="update nacre"):
        priors.tables(SNAC, 9, tmp_path)
    with pytest.raises(DamagedError, match="does not fit"):
        priors.tables(PEARL, 3, tmp_path)


def test_files_use_the_table_of_their_codec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = CodecInfo("calm-24k", DIGEST, 24000, 1, 320, (1024,) * 4)
    codes = random_codes(info, 4, 900, calm=450)
    nac.write(tmp_path / "flat.nac", codes)
    priors.save(7, info, priors.build([codes]), tmp_path)
    monkeypatch.setattr(priors.number_for, "__defaults__", (tmp_path,))
    monkeypatch.setattr(priors.tables, "__defaults__", (priors.FLAT, tmp_path))
    nac.write(tmp_path / "fitted.nac", codes)
    with nac.NacReader(tmp_path / "fitted.nac") as reader:
        assert reader.header.prior == 7
        assert reader.read() == codes
    assert (tmp_path / "fitted.nac").stat().st_size < 0.5 * (tmp_path / "flat.nac").stat().st_size
    nac.write(tmp_path / "raw.nac", codes, raw=True)
    assert nac.NacReader((tmp_path / "raw.nac").read_bytes()).header.prior == priors.FLAT


def test_a_file_whose_table_is_missing_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = CodecInfo("calm-24k", DIGEST, 24000, 1, 320, (1024,) * 4)
    codes = random_codes(info, 4, 300, calm=300)
    monkeypatch.setattr(priors.number_for, "__defaults__", (tmp_path,))
    monkeypatch.setattr(priors.tables, "__defaults__", (priors.FLAT, tmp_path))
    path = priors.save(1, info, priors.build([codes]), tmp_path)
    nac.write(tmp_path / "x.nac", codes)
    path.unlink()
    priors._load.cache_clear()
    with pytest.raises(MissingError, match="table 1 of calm-24k"):
        nac.read(tmp_path / "x.nac")


def test_a_table_knows_its_owner(tmp_path: Path) -> None:
    info = CodecInfo("calm-24k", DIGEST, 24000, 1, 320, (1024,) * 4)
    priors.save(3, info, priors.build([random_codes(info, 4, 300)]), tmp_path)
    assert priors.owner(3, tmp_path) == ("calm-24k", DIGEST)
    with pytest.raises(InputError, match=r"no table 2; there are \[3\]"):
        priors.owner(2, tmp_path)
