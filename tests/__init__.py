"""The tests: paths mirror service/."""
