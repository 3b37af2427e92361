"""Tells options on a command line from arguments that begin with a dash."""

import re
from itertools import islice

import click

_OPTION = re.compile(r"-[a-zA-Z]|--[a-z][a-z-]*(=.*)?", re.DOTALL)
"""`-h`, `--json`, `--name=Acme`.  One key id in 64 begins with a dash; none looks like these."""


class Command(click.Command):
    """A command whose arguments may begin with a dash, without a `--` before them.

    A word that looks like an option is an option: an unknown one is refused by its name and never
    taken for an argument.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words of a command line.  All of them must be UTF-8, except file names."""
        left = super().parse_args(ctx, self._in_order(ctx, args))
        for name, given in ctx.params.items():
            for text in given if isinstance(given, tuple) else (given,):
                if isinstance(text, str) and not _is_unicode(text):
                    raise click.UsageError(f"{name} is not UTF-8", ctx)
        return left

    def _in_order(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put options first, then a `--`, then all other words."""
        valued = {
            name
            for option in self.get_params(ctx)
            if isinstance(option, click.Option) and not option.is_flag
            for name in option.opts
        }
        options: list[str] = []
        arguments: list[str] = []
        rest = iter(args)
        for word in rest:
            if word == "--":
                arguments += rest
            elif _OPTION.fullmatch(word):
                value = list(islice(rest, 1)) if word in valued else []
                options += [word, *value]
                if word in valued and not value:
                    return options  # the option must not take the `--` as its value
            else:
                arguments.append(word)
        return [*options, "--", *arguments]


class Group(click.Group):
    """A group of commands with this grammar."""

    command_class = Command
    group_class = type


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of the shell's that are none
        return False
    return True
