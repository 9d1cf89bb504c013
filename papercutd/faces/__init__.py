"""One handler for each way in: messages to service calls and back."""
