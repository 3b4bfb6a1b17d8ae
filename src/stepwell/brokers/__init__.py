"""Message brokers: the port that pipelines send through, and one file for each kind of broker."""
