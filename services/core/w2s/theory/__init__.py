"""What theory says of the papers' methods, to hold measurements against."""
