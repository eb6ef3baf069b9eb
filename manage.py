#!/usr/bin/env python3
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronsched.settings")
    from cronsched.command_line import run

    run(sys.argv)


if __name__ == "__main__":
    main()
