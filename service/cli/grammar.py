"""What of a command line is an option, and what is an argument that merely begins with a dash."""

import re
from itertools import islice

import click

_OPTION = re.compile(r"-[a-zA-Z]|--[a-z][a-z-]*(=.*)?", re.DOTALL)
"""`-h`, `--json`, `--name=Acme`.  One key id in 64 begins with a dash; none looks like these."""


class Command(click.Command):
    """A command whose arguments may begin with a dash without a `--` before them.

    What looks like an option stays one: a wrong one is refused by its name, never taken for a key.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words of a command line; all but names of files are UTF-8."""
        left = super().parse_args(ctx, self._in_order(ctx, args))
        for name, given in ctx.params.items():
            for text in given if isinstance(given, tuple) else (given,):
                if isinstance(text, str) and not _is_unicode(text):
                    raise click.UsageError(f"{name} is not UTF-8", ctx)
        return left

    def _in_order(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the options first and what is none of them after a `--`."""
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
                    return options  # it must not take the `--` for its value
            else:
                arguments.append(word)
        return [*options, "--", *arguments]


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of the shell's that are none
        return False
    return True
