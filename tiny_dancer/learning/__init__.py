"""Learning a router model from outcomes, judging it, and using it in decisions."""
