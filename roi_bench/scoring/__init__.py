"""From prompts and responses to outcomes, metrics and estimates. Pure."""
