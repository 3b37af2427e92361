"""Breaks the service on purpose, and looks whether what must hold held: `./dev faults`.

One deployment (PostgreSQL, Valkey, a fault proxy before each, the service with two workers) goes
through campaigns.  Each injects faults or attacks, keeps what was acknowledged, and compares:

    invariants/  what must hold whatever happens, as queries and checks (I1 to I10)
    proxy/       the wire between the service and its servers: seen, held, delayed, cut
    crashes/     kill -9 at named points of an act
    outages/     servers that die, hang, come back, under load
    histories/   concurrent clients, and a checker that looks for an order that explains them
    model/       random sequences against a small model
    fuzz/        hostile bytes on every route; drift between openapi/ and the answers
    sabotage/    the service broken on purpose: the suite must see it
"""
