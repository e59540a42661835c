"""``python -m webqueue``: the command line."""

from webqueue.cli import main

main()
