"""The guide's ``task1_eval``: ``kubetuna evaluate`` by the guide's options."""

from kubetuna.finrl.guide import run

__all__ = ["main"]


def main() -> None:
    """``python task1_eval.py GPU --ensemble-path DIR``."""
    run("task1_eval")


if __name__ == "__main__":
    main()
