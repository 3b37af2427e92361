"""The promises of `./dev serve` and of its servers."""
