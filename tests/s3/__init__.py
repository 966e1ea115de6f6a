"""S3: buckets, locks and input against a server on loopback, with faults in between."""
