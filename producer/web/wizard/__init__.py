"""A new campaign in five steps: recipients, columns, message, route and time, check. Each works without JavaScript."""
