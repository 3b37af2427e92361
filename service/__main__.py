"""`python -m service`, and `tesserra-auth` once installed."""

from service.cli import main

if __name__ == "__main__":
    main()
