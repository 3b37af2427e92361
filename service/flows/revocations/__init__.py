"""The revocation feed for verifiers, and revocations by administrators."""
