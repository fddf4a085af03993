"""The program as a process: how it starts, and how it ends before it has begun."""

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import loader
from loader.cli import COMMANDS, cli
from tests.support.waits import PATIENCE

EVENTS = Path(__file__).parents[2] / "docs/samples/onvif.ndjson"


def variables() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LOADER_", "DBT_"))}
    return kept | {"LOADER_DSN": "host=127.0.0.1 port=1 connect_timeout=2"}


def test_no_command_imports_what_it_does_not_need() -> None:
    program = (
        "import sys; from loader.__main__ import run; heavy = sys.argv.pop().split(',');"
        "code = run(); heavy = set(heavy) & set(sys.modules);"
        "sys.exit(f'{heavy} with {code}' if heavy or code else 0)"
    )
    all_of_them = "numpy,psycopg,pyarrow,rich"
    # What makes events up needs no database.
    for words, heavy in (
        (["--version"], all_of_them),
        (["--help"], all_of_them),
        (["generate", "--events", "1", "--output", "/dev/null"], "psycopg,rich"),
        # Arrow alone would import it, where it is installed.
        (["inspect", EVENTS], "pandas"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, *words, heavy],
            env=variables(), check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")


def test_what_help_says_of_a_command_is_what_the_command_says() -> None:
    context = cli.make_context("loader", ["status"])
    for name, (_, help_) in COMMANDS.items():
        _, command, _ = cli.resolve_command(context, [name])
        assert command is not None
        assert command.get_short_help_str(limit=200) == help_


def test_no_module_stands_where_a_public_name_is() -> None:
    for name in loader.__all__:
        assert getattr(loader, name) is not None
        assert find_spec(f"loader.{name}") is None
    assert set(loader.__all__) < set(dir(loader))
    # Nor is anything public that the module they stand in only uses.
    assert not hasattr(loader, "psycopg")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        loader.nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["click", "psycopg", "numpy", "pyarrow.lib"])
def test_whoever_ends_it_while_it_imports_sees_one_line(
    module: str, number: signal.Signals
) -> None:
    program = f"""
import builtins, os, sys
real = builtins.__import__

def end_then(name, *arguments):
    found = real(name, *arguments)
    if name == {module!r}:
        builtins.__import__ = real
        os.kill(os.getpid(), {int(number)})
    return found

builtins.__import__ = end_then
sys.argv = ["loader", "load", "nowhere.csv"]
from loader.__main__ import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=variables(), capture_output=True, text=True, check=False, timeout=PATIENCE,
        # As in a terminal, wherever pytest was started.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert (done.stderr, done.returncode) == (f"loader: {word}\n", 128 + number)


def test_ctrl_c_stays_ignored_where_a_shell_has_it_ignored() -> None:
    program = (
        "import signal; from loader.__main__ import run; run();"
        "assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN"
    )
    subprocess.run(
        [sys.executable, "-c", program, "--version"], env=variables(), check=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip


BASH = """
eval "$(loader completion bash)"
COMP_WORDS=(loader lo) COMP_CWORD=1
_loader_completion loader
echo "${COMPREPLY[@]}"
"""
ZSH = """
autoload -Uz compinit; compinit -D
eval "$(loader completion zsh)"
(( $+functions[_loader_completion] )) || exit 1
_LOADER_COMPLETE=zsh_complete COMP_WORDS="loader lo" COMP_CWORD=1 loader
"""
FISH = "loader completion fish | source; complete -C 'loader lo'"


@pytest.mark.parametrize(("shell", "script"), [("bash", BASH), ("zsh", ZSH), ("fish", FISH)])
def test_a_shell_completes_commands(shell: str, script: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [shell, "-c", script], env=variables() | {"PATH": path}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert {"load", "loads"} <= set(done.stdout.split()), done.stderr
    assert "watch" not in done.stdout


def test_files_are_completed_where_a_file_belongs() -> None:
    asked = {"_LOADER_COMPLETE": "bash_complete", "COMP_WORDS": "loader load ev", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-m", "loader"], env=variables() | asked, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "file,ev\n"


STRANGE = [
    ("true", ["generate", "--output", "/dev/full"], 1,
     "/dev/full: cannot be written, and is not complete: No space left on device"),
    ("true", ["generate", "--format", "parquet", "--output", "/dev/full"], 1, "is not complete"),
    ("ln -s a.csv a.csv", ["inspect", "a.csv"], 4, "a.csv: Too many levels of symbolic links"),
    ("true", ["inspect", f"{'a' * 300}.csv"], 4, "a.csv: File name too long"),
    ("rmdir $PWD", ["status"], 2, "the directory where you are cannot be found any more"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "words", "exit_code", "said"), STRANGE)
def test_what_the_system_refuses_is_said_in_its_words(
    tmp_path: Path, first: str, words: list[str], exit_code: int, said: str
) -> None:
    done = subprocess.run(
        ["bash", "-c", f'{first} && exec "$@"', "-", sys.executable, "-m", "loader", *words],
        env=variables(), cwd=tmp_path, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (exit_code, 1), done.stderr
    assert said in done.stderr
    assert "unexpected" not in done.stderr
