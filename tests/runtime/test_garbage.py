import gc
import importlib
from pathlib import Path

import pytest

from dal.runtime import garbage


def test_what_is_loaded_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loaded_once.py").write_text("kept = [[]]\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = gc.get_freeze_count()
    for num_loaded in (1, 0):  # a second time, it is there
        with garbage.modules_spared():
            assert not gc.isenabled()
            importlib.import_module("loaded_once")
        assert gc.isenabled()
        assert (gc.get_freeze_count() > before) == (num_loaded == 1)
        before = gc.get_freeze_count()
