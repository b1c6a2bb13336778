"""`python -m seqdyn` is `seqdyn`."""

from seqdyn.cli.main import run

if __name__ == "__main__":
    run()
