"""The root command, with all others under it."""

import click

from service.cli.audit import audit
from service.cli.clients import client
from service.cli.keys import key
from service.cli.organizations import organization
from service.cli.secrets import secret
from service.cli.server import migrate, openapi, prune, serve
from service.cli.users import user
from service.kernel.version import VERSION


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="tesserra-auth", message="%(prog)s %(version)s")
def main() -> None:
    """Tesserra Auth: identity, sessions, keys, revocation and the audit trail."""


for command in (serve, migrate, organization, user, client, key, secret, audit, prune, openapi):
    main.add_command(command)
