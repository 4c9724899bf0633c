"""Ensembles of detectors: so far how the feature maps of several come together (`transforms`)."""
