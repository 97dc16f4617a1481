import subprocess
import sys
from os import pathsep

import pytest

from tiny_dancer import __version__
from tiny_dancer.cli import __main__ as command_line
from tiny_dancer.cli.__main__ import main
from tiny_dancer.errors import InvalidArgumentError


def _python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": pathsep.join(sys.path)},
    )


def test_as_a_module():
    done = _python("-m", "tiny_dancer.cli", "--version")
    assert (done.returncode, done.stdout) == (0, f"tiny-dancer {__version__}\n")
    help_text = _python("-m", "tiny_dancer.cli", "model", "--help").stdout
    assert [line.split()[0] for line in help_text.splitlines()[4:7]] == ["import", "list", "use"]


def test_nothing_heavy_is_imported_before_a_command_needs_it():
    heavy = "{'numpy', 'onnx', 'onnxruntime', 'tokenizers', 'huggingface_hub', 'psycopg', 'tqdm'}"
    code = f"""
import sys
from tiny_dancer.cli.__main__ import main
try:
    main(["model", "import", "--help"])
except SystemExit:
    print(sorted({heavy} & set(sys.modules)))
"""
    done = _python("-c", code)
    assert done.stdout.endswith("\n[]\n")


@pytest.mark.parametrize("arguments", [[], ["model"], ["nonsense"], ["model", "use", "m"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: tiny-dancer" in capsys.readouterr().err


def _command_that(raises, monkeypatch):
    class Command:
        @staticmethod
        def add_parser(commands):
            def run(arguments):
                if raises:
                    raise raises

            commands.add_parser("go").set_defaults(run=run)

    monkeypatch.setattr(command_line, "_COMMANDS", (Command,))
    return main(["go"])


def test_success(monkeypatch, capsys):
    assert _command_that(None, monkeypatch) == 0
    assert capsys.readouterr() == ("", "")


def test_an_error_with_all_its_parts(monkeypatch, capsys):
    error = InvalidArgumentError("bad value", detail="It is 7.", hint="Try 8.")
    assert _command_that(error, monkeypatch) == 1
    assert capsys.readouterr() == ("", "error: bad value\ndetail: It is 7.\nhint: Try 8.\n")


def test_an_error_with_a_message_only(monkeypatch, capsys):
    assert _command_that(InvalidArgumentError("bad value"), monkeypatch) == 1
    assert capsys.readouterr() == ("", "error: bad value\n")


def test_an_interruption(monkeypatch, capsys):
    assert _command_that(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_a_defect_is_not_hidden(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        _command_that(ZeroDivisionError(), monkeypatch)
