"""What the figures mean: scoring, drift, accuracy, calibration, rules, alerts, the schedule."""
