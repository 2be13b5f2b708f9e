"""Reading responses: which box or line answers which problem. Pure."""
