"""The demo: an invented country, its crop classifier, and a failure planted in it."""
