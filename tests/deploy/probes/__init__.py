"""What is done inside a Debian that was booted, by its own Python and nothing else.

`python3 -m tests.deploy.probes units 8080 8081` does what tests/deploy/probes/units.py says, writes
what it found to /opt/report as JSON, and switches the machine off.
"""
