"""Speed and quality measurements; see README.md."""
