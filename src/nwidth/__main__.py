"""`python -m nwidth`."""

from nwidth.cli import main

if __name__ == "__main__":
    main()
