"""The revisions of the job tables, each in a file that begins with its number."""
