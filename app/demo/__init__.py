"""The demo: an invented country, its crop classifier, and a failure planted in it."""

from app.demo.story import run_demo

__all__ = ["run_demo"]
