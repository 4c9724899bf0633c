"""An open study of ensembles for visual anomaly detection in manufacturing."""
