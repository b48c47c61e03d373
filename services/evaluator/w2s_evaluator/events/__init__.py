"""CloudEvents over HTTP: what KServe's payload logger says of students that it serves."""
