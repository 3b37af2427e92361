"""Breaks the service on purpose, and looks whether what must hold held: `./dev faults`.

Deployments (PostgreSQL, Valkey, a fault proxy before each, the service with two workers) go
through campaigns, one for all in a quick run, one for each and several side by side in a full one.
A campaign injects faults or attacks, keeps what was acknowledged, and compares:

    invariants/  what must hold whatever happens, as queries and checks (I1 to I10)
    proxy/       the wire between the service and its servers: seen, held, delayed, cut
    crashes/     kill -9 at named points of an act
    outages/     servers that die, hang, fill up, come back, under load; a clock that jumps
    histories/   concurrent clients, and a checker that looks for an order that explains them
    model/       random sequences against a small model
    fuzz/        hostile bytes on every route; drift between openapi/ and the answers
    sabotage/    the service broken on purpose: the suite must see it
"""
