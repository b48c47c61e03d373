"""The revisions of the supervisor's tables, each in a file that begins with its number."""
