"""What the README's figures come from: `python3 dev.py bench [NAMES] [--quick]`."""
