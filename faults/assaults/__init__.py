"""What an attacker tries, over two workers at once: guesses, dead tokens, forgeries, other people's
things, floods.
"""

from faults.assaults.crowd import crowd
from faults.assaults.flood import flood
from faults.assaults.forgeries import forge
from faults.assaults.guesses import guess
from faults.assaults.revoked import present_revoked
from faults.assaults.thefts import steal
from faults.assaults.walls import climb_walls

__all__ = ["climb_walls", "crowd", "flood", "forge", "guess", "present_revoked", "steal"]
