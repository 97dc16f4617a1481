"""What another policy would have cost and achieved, estimated from recorded decisions."""
