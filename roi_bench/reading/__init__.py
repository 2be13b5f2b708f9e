"""What a response says: which box or line answers which problem. Pure."""
