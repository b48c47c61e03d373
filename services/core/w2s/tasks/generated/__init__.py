"""Tasks whose rows are made: sums in words, and chess puzzles from games that an engine plays."""
