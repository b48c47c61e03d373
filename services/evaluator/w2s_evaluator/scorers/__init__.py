"""What is measured of generated answers."""
