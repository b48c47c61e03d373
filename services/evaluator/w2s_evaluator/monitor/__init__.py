"""The live monitor: what students in production say beside what their weak supervisor says of the same inputs."""
