"""`stepwell runs`: everything that can be done with runs beside starting them."""
