"""``python -m vf_cli`` is ``vf``."""

from vf_cli.main import main

main()
