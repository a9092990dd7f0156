"""What a word may be completed to, by the lines that a shell would send."""

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from omegaconf import OmegaConf

from dal.cli import config
from dal.cli.commands import COMMANDS
from dal.completion import __main__ as completion
from dal.completion import line, overrides


def completed(text: str) -> list[str]:
    return [candidate.word for candidate in completion.complete(line.split(text).words)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dal tr", ["train"]),
        ("dal --v", ["--version"]),
        ("dal help qu", ["query"]),
        ("dal train strategy=bait_b", ["strategy=bait_binary"]),
        ("dal train -m strategy=random,bait_b", ["strategy=random,bait_binary"]),
        ("dal train +experiment=im", ["+experiment=imagenet"]),
        ("dal train +", ["+experiment="]),
        ("dal train 'strategy=bait_b", ["strategy=bait_binary"]),
        ("dal train al.n", ["al.num_acq=", "al.num_init="]),
        ("dal train ++al.a", ["++al.acq_size="]),
        ("dal train ~logg", ["~logger"]),
        ("dal train head=mlp head.network.h", ["head.network.hidden_size="]),
        ("dal train overwrite=", ["overwrite=false", "overwrite=true"]),
        ("dal train eval_split=d", ["eval_split=dev"]),
        ("dal train al.init=c", ["al.init=class_balanced"]),
        ("dal train al.init=random,c", ["al.init=random,class_balanced"]),
        ("dal train al.acq_size=", ["al.acq_size=10"]),
        ("dal train strategy=bait strategy.subset_size=", ["strategy.subset_size=null"]),
        ("dal train hydra/launcher=b", ["hydra/launcher=basic"]),
        ("dal train --cf", ["--cfg"]),
        ("dal train --cfg j", ["--cfg", "job"][1:]),
        ("dal query mo", ["more="]),
        ("dal query +", []),
        ("dal extract ou", ["out=", "output_root="]),
        ("dal report --sh", ["--show"]),
        ("dal cache --clean d", ["drafts"]),
        ("dal cache --clean drafts rep", ["replaced"]),
        ("dal bench s", ["select"]),
        ("dal bench select --problem cifar100", ["cifar100"]),
        ("dal bench select --repeat ", []),
        ("dal completion f", ["fish"]),
        ("dal trian strat", []),
        ("dal train data.path.nothing.", []),
    ],
)
def test_a_line_is_completed(text: str, expected: list[str]) -> None:
    assert completed(text) == expected


def test_all_commands_and_no_derived_keys_are_offered() -> None:
    assert completed("dal ") == sorted(COMMANDS)
    words = completed("dal train ")
    assert {"strategy=", "strategy.", "al.", "seed=", "+experiment="} <= {*words}
    assert not [word for word in words if word.startswith(("hydra", "_", "-"))]


@pytest.mark.parametrize("wrong", ["data=imagefoldr", "al.num_ini=3", "seed=[", "strategy"])
def test_a_line_with_a_mistake_before_is_completed(wrong: str) -> None:
    assert completed(f"dal train {wrong} al.num_i") == ["al.num_init="]


def test_a_choice_stands_although_another_word_is_wrong() -> None:
    assert completed("dal train head=mlp al.wrong=1 head.net") == ["head.network."]


def test_groups_of_ones_own_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my conf" / "experiment").mkdir(parents=True)
    (tmp_path / "my conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /head: mlp\n"
    )
    monkeypatch.chdir(tmp_path)
    assert completed("dal train --config-dir 'my conf' +experiment=mi") == ["+experiment=mine"]
    line = "dal train --config-dir=my\\ conf +experiment=mine head.net"
    assert completed(line) == ["head.network."]
    assert completed("dal train --config-dir m") == ["my conf/"]


def test_paths_are_completed_where_a_path_is_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("café photos", ".hidden"):
        (tmp_path / folder).mkdir()
    (tmp_path / "labels.csv").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert completed("dal query data.path=") == ["data.path=café photos/", "data.path=labels.csv"]
    assert completed("dal query project=") == ["project=café photos/"]
    assert completed("dal query labels=~/la") == ["labels=~/labels.csv"]
    assert completed("dal query data.path=.h") == ["data.path=.hidden/"]
    assert completed("dal query data.path=~nobody_of_that_name/") == []
    assert completed("dal report ") == ["café photos/"]
    assert completed("dal report . --out ") == ["café photos/", "labels.csv"]
    assert completed("dal cache --cache-dir ") == ["café photos/"]


def test_flags_are_said_with_what_they_do() -> None:
    found = completion.answer("fish", "dal cache --cl", "")
    assert found == ["--clean\twhat to remove, by kind"]
    assert completion.answer("zsh", "dal tr", "") == [f"train\t{COMMANDS['train'].summary}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dal tr", ["train "]),
        ("dal train strategy=bait_b", ["bait_binary "]),
        ("dal train al.a", ["al.acq_size="]),
        ("dal train 'strategy=bait_b", ["strategy=bait_binary"]),
        ('dal train strategy="bait_b', ["bait_binary"]),
        ("dal", []),
    ],
)
def test_bash_gets_the_part_behind_its_last_break(text: str, expected: list[str]) -> None:
    assert completion.answer("bash", text, " \t\n\"'><=;|&(:") == expected


def test_what_bash_would_read_otherwise_is_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "it's $5 (new) é").mkdir()
    (tmp_path / "two\nlines").mkdir()
    monkeypatch.chdir(tmp_path)
    found = completion.answer("bash", "dal query data.path=", "=")
    assert found == [r"it\'s\ \$5\ \(new\)\ é/"]
    assert line.split(f"dal query data.path={found[0]}").words[-1] == "data.path=it's $5 (new) é/"


def test_the_flags_are_those_of_hydra() -> None:
    known = {name for action in get_args_parser()._actions for name in action.option_strings}
    assert {*overrides.FLAGS} - known <= {"--version"}


def test_the_keys_with_known_values_exist() -> None:
    keys: set[str] = set()
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        for name in ("config", "extract", "query"):
            chosen = ["data=imagefolder", *(["logger=wandb"] if name == "config" else [])]
            composed = compose(name, chosen)
            for group, values in composed.items_ex(resolve=False):
                below = values if OmegaConf.is_dict(values) else ()
                keys |= {str(group), *(f"{group!s}.{key!s}" for key in below)}
    assert {*overrides.VALUES, *overrides.PATHS} - keys == {"data.ids"}


def test_nothing_that_computes_is_imported() -> None:
    code = (
        "import sys; from dal.completion import __main__ as completion; "
        "print(*completion.answer('bash', sys.argv[1], '=')); "
        "sys.exit(bool({'torch', 'pandas', 'lightning', 'numpy'} & {*sys.modules}))"
    )
    for text in ("dal query num", "dal report --o", "dal bench select --pr", "dal cache --cl"):
        done = subprocess.run([sys.executable, "-c", code, text], capture_output=True, text=True)
        assert done.returncode == 0, text
        assert done.stdout.strip(), text
