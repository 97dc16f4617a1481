"""Training in NumPy: back-propagation, Adam, losses, early stopping, calibration."""
