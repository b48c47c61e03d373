"""What answers for a teacher: a model in this process, a server elsewhere, or other teachers."""
