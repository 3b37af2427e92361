"""Concurrent clients, each act with the moments it was asked and answered, and a checker.

What happened is right when there is an order of the acts that respects those moments and that a
small sequential specification allows (Herlihy and Wing, 1990; the search is Wing and Gong's).
"""

from faults.histories.campaign import explain_histories
from faults.histories.linearise import Act, linearisable
from faults.histories.specifications import account, family, strict_family

__all__ = ["Act", "account", "explain_histories", "family", "linearisable", "strict_family"]
