"""What a run and its verdicts look like: tables for a terminal, Markdown for a README, one HTML page for a browser."""
