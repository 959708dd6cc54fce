"""Every command says what it does, with an example that its own options understand."""

from __future__ import annotations

import re
import shlex

import click
import pytest
import typer

from simulator.cli.main import app

ROOT = typer.main.get_command(app)


def commands(command, path=()):
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from commands(below, (*path, name))
    else:
        yield " ".join(path), command


COMMANDS = dict(commands(ROOT))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_an_example_that_it_understands(name):
    command = COMMANDS[name]
    examples = re.findall(r"Example: simulator (.*?)(?:\n\n|\Z)", command.help, re.DOTALL)
    assert examples, f"{name}: no example"
    for example in examples:
        words = shlex.split(example.split(" > ")[0].replace("\\\n", " "))
        assert words[: len(name.split())] == name.split()
        context = command.context_class(command, info_name=name, resilient_parsing=True)
        command.make_parser(context).parse_args(words[len(name.split()) :])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_for(name):
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option) or option.param_type_name == "option":
            assert getattr(option, "help", None) or getattr(option, "hidden", False), f"{name}: {option.name}"


def test_the_shell_can_complete():
    names = {name for option in ROOT.params for name in option.opts}
    assert {"--install-completion", "--show-completion"} <= names
