"""`python -m sagafsm` is the command line."""

from sagafsm.cli import main

if __name__ == "__main__":
    main()
